#include "host/shim/flags.h"

#include <vector>

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

std::expected<Flags, Error> parse(std::vector<std::string_view> words) {
  return parse_flags(words);
}

TEST(Flags, ContainerdsStart) {
  const auto flags = parse({"-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock",
                            "-publish-binary", "/usr/bin/containerd", "-id", "c1", "-debug", "start"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->containerd_namespace, "k8s.io");
  EXPECT_EQ(flags->address, "/run/containerd/containerd.sock");
  EXPECT_EQ(flags->publish_binary, "/usr/bin/containerd");
  EXPECT_EQ(flags->id, "c1");
  EXPECT_TRUE(flags->debug);
  EXPECT_EQ(flags->action, Flags::Action::kStart);
}

TEST(Flags, CrioPassesAnEmptyAddress) {
  const auto flags =
      parse({"-namespace", "default", "-address", "", "-publish-binary", "crio", "-id", "c1", "start"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->address, "");
  EXPECT_EQ(flags->action, Flags::Action::kStart);
}

TEST(Flags, EverySpelling) {
  for (const auto& words : std::vector<std::vector<std::string_view>>{{"-id", "x", "delete"},
                                                                      {"-id=x", "delete"},
                                                                      {"--id", "x", "delete"},
                                                                      {"--id=x", "delete"},
                                                                      {"--id=x", "--", "delete"}}) {
    const auto flags = parse(words);
    ASSERT_TRUE(flags) << words[0];
    EXPECT_EQ(flags->id, "x");
    EXPECT_EQ(flags->action, Flags::Action::kDelete);
  }
}

TEST(Flags, LastOneWinsAndValuesMayLookLikeFlags) {
  const auto flags = parse({"-id", "-debug", "-id=a=b"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->id, "a=b");
  EXPECT_FALSE(flags->debug);
  EXPECT_EQ(flags->action, Flags::Action::kServe);
}

TEST(Flags, BooleansTakeNoSeparateValue) {
  EXPECT_TRUE(parse({"-debug=T"})->debug);
  EXPECT_FALSE(parse({"-debug", "-debug=false"})->debug);
  EXPECT_TRUE(parse({"-v"})->version);
  EXPECT_TRUE(parse({"--version"})->version);
  EXPECT_TRUE(parse({"-info"})->info);
  // "true" is the action here, and no such action exists.
  EXPECT_FALSE(parse({"-debug", "true"}));
}

TEST(Flags, ParsingStopsAtTheFirstWord) {
  const auto flags = parse({"start", "-id", "x"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->id, "");
}

struct BadRow {
  std::vector<std::string_view> words;
  const char* message;
};

TEST(Flags, BadOnesAreNamed) {
  const BadRow rows[] = {
      {{"-id"}, "flag needs an argument: -id"},
      {{"-nope", "x"}, "flag provided but not defined: -nope"},
      {{"---id", "x"}, "bad flag syntax: ---id"},
      {{"-=x"}, "bad flag syntax: -=x"},
      {{"--=x"}, "bad flag syntax: --=x"},
      {{"-debug=maybe"}, "flag -debug: 'maybe' is neither true nor false"},
      {{"stop"}, "unknown action 'stop': it is start, delete or none"},
      {{"-"}, "unknown action '-': it is start, delete or none"},
  };
  for (const BadRow& row : rows) {
    const auto flags = parse(row.words);
    ASSERT_FALSE(flags) << row.message;
    EXPECT_EQ(flags.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(flags.error().message(), row.message);
  }
}

TEST(ValidId, AsContainerdHasIt) {
  for (const char* id : {"a", "c1", "0", "my-pod_1.x", "A.b"}) EXPECT_TRUE(valid_id(id)) << id;
  for (const char* id : {"", "-a", "a-", "a--b", ".", "..", "a/b", "a b", "a..b", "a\n"})
    EXPECT_FALSE(valid_id(id)) << id;
  EXPECT_TRUE(valid_id(std::string(76, 'a')));
  EXPECT_FALSE(valid_id(std::string(77, 'a')));
}

}  // namespace
}  // namespace kata::shim
