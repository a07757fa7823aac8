#include "host/sandbox/guest_clock.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"

namespace kata::sandbox {
namespace {

using std::chrono::nanoseconds;
using std::chrono::system_clock;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""s;

struct Row {
  const char* name;
  ClockReading reading;
  nanoseconds error;
};

TEST(ClockError, Rows) {
  const nanoseconds now = 1'800'000'000s;
  const Row rows[] = {
      {"right", {.before = now, .after = now + 4ms, .guest = now + 2ms}, 0ms},
      {"half a second behind", {.before = now, .after = now + 4ms, .guest = now - 498ms}, -500ms},
      {"a day ahead", {.before = now, .after = now + 4ms, .guest = now + 86400s + 2ms}, 86400s},
      {"explained by a slow question", {.before = now, .after = now + 800ms, .guest = now}, 0ms},
      {"not explained by it", {.before = now, .after = now + 800ms, .guest = now - 2ms}, -402ms},
      {"within the tolerance", {.before = now, .after = now, .guest = now + 1ms}, 0ms},
      {"beyond it", {.before = now, .after = now, .guest = now + 1ms + 1ns}, 1ms + 1ns},
      {"guest at the epoch", {.before = now, .after = now, .guest = 0s}, -now},
  };
  for (const Row& row : rows) EXPECT_EQ(clock_error(row.reading).count(), row.error.count()) << row.name;
}

// A guest whose clock is off by `ahead`, without a hurry.
class FollowClock : public testing::Test {
 protected:
  GuestClock clock() {
    return {.set = [this]() -> Awaitable<> {
              calls.emplace_back("set");
              if (set_takes != 0ms) co_await pause_for(set_takes);
              if (set_error) throw *set_error;
              ahead = set_leaves;
              co_return;
            },
            .adjust = [this](nanoseconds by) -> Awaitable<std::optional<nanoseconds>> {
              if (!can_adjust) co_return std::nullopt;
              calls.emplace_back(by == 0ns ? "read" : "move");
              const nanoseconds then = system_clock::now().time_since_epoch() + ahead;
              ahead += by;
              if (by != 0ns) context.stop();
              co_return then;
            }};
  }
  void run() {
    asio::co_spawn(context, follow_clock(clock()), [this](const std::exception_ptr& failure) {
      ended = true;
      failed = failure != nullptr;
    });
    context.run_for(100ms);
  }

  asio::io_context context{1};
  std::vector<std::string> calls;
  std::optional<Error> set_error;
  nanoseconds ahead = -700ms;
  nanoseconds set_leaves = 0ms;
  std::chrono::milliseconds set_takes{0};
  bool can_adjust = true;
  bool ended = false;
  bool failed = false;
};

TEST_F(FollowClock, IsSetAtOnceAndThenLeftAlone) {
  run();
  EXPECT_EQ(calls, std::vector<std::string>{"set"});
  EXPECT_EQ(ahead, 0ms);
  EXPECT_FALSE(ended);
}

TEST_F(FollowClock, ASlowStartIsMeasuredAndCorrected) {
  set_takes = 15ms;
  set_leaves = -15ms;
  run();
  EXPECT_EQ(calls, (std::vector<std::string>{"set", "read", "move"}));
  EXPECT_LT(std::chrono::abs(ahead), 5ms);
}

TEST_F(FollowClock, AnAgentThatCannotBeCorrectedIsLeftAlone) {
  set_takes = 15ms;
  can_adjust = false;
  run();
  EXPECT_TRUE(ended);
  EXPECT_FALSE(failed);
}

TEST_F(FollowClock, AnErrorOfTheAgentEndsIt) {
  set_error = Error(Code::kUnimplemented, "no clock");
  run();
  EXPECT_TRUE(ended && failed);
}

}  // namespace
}  // namespace kata::sandbox
