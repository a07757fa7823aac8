#include "guest/boot/modprobe.h"

#include <gtest/gtest.h>

namespace kata::boot {
namespace {

using Paths = std::vector<std::string>;

TEST(Modprobe, RequestsOfTheKernel) {
  const char* const list =
      "bridge /m/llc.ko.xz\n"
      "bridge /m/stp.ko.xz\n"
      "bridge /m/bridge.ko.xz\n"
      "nft_chain_1_nat /m/nft_chain_nat.ko.xz\n"
      "lonely \n";
  struct Row {
    const char* name;
    Paths paths;
  };
  const Row rows[] = {
      {"bridge", {"/m/llc.ko.xz", "/m/stp.ko.xz", "/m/bridge.ko.xz"}},
      {"nft-chain-1-nat", {"/m/nft_chain_nat.ko.xz"}},
      {"bridg", {}},
      {"lonely", {}},
      {"unknown", {}},
      {"", {}},
  };
  for (const Row& row : rows) EXPECT_EQ(modules_requested(list, row.name), row.paths) << row.name;
  EXPECT_EQ(modules_requested("", "bridge"), Paths());
}

TEST(Modprobe, Name) {
  const auto named = [](const char* name) {
    const char* argv[] = {name, "-q", "--", "bridge"};
    return is_modprobe(4, argv);
  };
  EXPECT_TRUE(named("/sbin/modprobe"));
  EXPECT_TRUE(named("modprobe"));
  EXPECT_FALSE(named("/usr/bin/kata-agent"));
  EXPECT_FALSE(named("/sbin/modprobe-of-another"));
  EXPECT_FALSE(is_modprobe(0, nullptr));
}

TEST(Modprobe, WithoutAListNothingIsLoaded) {
  const char* argv[] = {"/sbin/modprobe", "-q", "--", "bridge"};
  EXPECT_EQ(run_modprobe(4, argv), 1);
  EXPECT_EQ(run_modprobe(1, argv), 1);
}

}  // namespace
}  // namespace kata::boot
