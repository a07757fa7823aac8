#include "lib/text/latencies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""s;
using testing::HasSubstr;

TEST(Latencies, NothingWasAdded) {
  EXPECT_EQ(Latencies().prometheus("x", "y"), "");
}

TEST(Latencies, BucketsAreCumulativeAndBoundsBelongToThem) {
  Latencies latencies;
  latencies.add("create", 1ms);
  latencies.add("create", 1001us);
  latencies.add("create", 2048ms);
  latencies.add("create", 1000s);
  latencies.add("kill", 0ms);
  const std::string text = latencies.prometheus("rpc_ms", "How long calls took.");
  EXPECT_TRUE(text.starts_with("# HELP rpc_ms How long calls took.\n# TYPE rpc_ms histogram\n")) << text;
  for (const char* line :
       {"rpc_ms_bucket{action=\"create\",le=\"1\"} 1\n", "rpc_ms_bucket{action=\"create\",le=\"2\"} 2\n",
        "rpc_ms_bucket{action=\"create\",le=\"1024\"} 2\n",
        "rpc_ms_bucket{action=\"create\",le=\"2048\"} 3\n",
        "rpc_ms_bucket{action=\"create\",le=\"+Inf\"} 4\n", "rpc_ms_sum{action=\"create\"} 1002050.001\n",
        "rpc_ms_count{action=\"create\"} 4\n", "rpc_ms_bucket{action=\"kill\",le=\"1\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(SnakeCase, NamesOfMethods) {
  EXPECT_EQ(snake_case("Create"), "create");
  EXPECT_EQ(snake_case("ResizePty"), "resize_pty");
  EXPECT_EQ(snake_case("CloseIO"), "close_io");
  EXPECT_EQ(snake_case("GetIPTables"), "get_iptables");
  EXPECT_EQ(snake_case(""), "");
}

}  // namespace
}  // namespace kata
