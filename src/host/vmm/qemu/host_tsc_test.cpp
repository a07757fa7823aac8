#include "host/vmm/qemu/host_tsc.h"

#include <vector>

#include <gtest/gtest.h>

namespace kata::vmm::qemu {
namespace {

TEST(HostTsc, Frequency) {
  struct Row {
    const char* name;
    TscSample first, second;
    uint64_t khz;
  };
  const std::vector<Row> rows = {
      {"2.3 GHz over 10 ms", {1000, 5000}, {1000 + 23'000'000, 5000 + 10'000'000}, 2'300'000},
      {"rounded", {0, 0}, {6'900'002, 3'000'000}, 2'300'001},
      {"just long enough", {0, 0}, {4'000'000, 2'000'000}, 2'000'000},
      {"too short", {0, 0}, {4'000'000, 1'999'999}, 0},
      {"clock went back", {0, 9'000'000}, {4'000'000, 1'000'000}, 0},
      {"counter went back", {9'000'000, 0}, {4'000'000, 10'000'000}, 0},
      {"counter stands", {7, 0}, {7, 10'000'000}, 0},
      {"too slow to be one", {0, 0}, {99'000, 1'000'000'000}, 0},
      {"too fast to be one", {0, 0}, {30'000'000'000, 1'000'000'000}, 0},
  };
  for (const Row& row : rows) EXPECT_EQ(tsc_khz(row.first, row.second), row.khz) << row.name;
}

TEST(HostTsc, SamplesOfThisMachineGoForward) {
  const TscSample first = take_tsc_sample();
  const TscSample second = take_tsc_sample();
  EXPECT_GT(second.ns, first.ns);
  EXPECT_GT(second.ticks, first.ticks);
}

TEST(HostTsc, CommandLine) {
  struct Row {
    const char* name;
    std::string line;
    uint64_t khz;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {"added", "quiet", 2'300'000, "quiet tsc_early_khz=2300000 lpj=9200000"},
      {"alone", "", 2'300'000, "tsc_early_khz=2300000 lpj=9200000"},
      {"not known", "quiet", 0, "quiet"},
      {"the user's own stays", "tsc_early_khz=5 quiet", 2'300'000, "tsc_early_khz=5 quiet lpj=9200000"},
      {"both of the user", "tsc_early_khz=5 lpj=7", 2'300'000, "tsc_early_khz=5 lpj=7"},
  };
  for (Row row : rows) {
    add_tsc_frequency(row.line, row.khz);
    EXPECT_EQ(row.line, row.expected) << row.name;
  }
}

}  // namespace
}  // namespace kata::vmm::qemu
