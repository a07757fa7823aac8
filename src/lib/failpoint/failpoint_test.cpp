#include "lib/failpoint/failpoint.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sys/wait.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"

#ifdef KATA_FAILPOINTS

namespace kata::failpoint {
namespace {

class Failpoint : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "failpoint.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ::setenv("KATA_FAILPOINTS_DIR", folder_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("KATA_FAILPOINTS_DIR");
    std::filesystem::remove_all(folder_);
  }

  void arm(const std::string& action) { std::ofstream(folder_ + "/here") << action << "\n"; }
  [[nodiscard]] bool reached() const { return std::filesystem::exists(folder_ + "/here.reached"); }
  [[nodiscard]] const std::string& folder() const { return folder_; }

  // Runs a coroutine that passes the point; the error that left it.
  static std::optional<Error> pass(asio::io_context& loop) {
    std::optional<Error> failure;
    auto body = []() -> Awaitable<> { KATA_FAILPOINT("here"); };
    asio::co_spawn(loop, body(), [&](const std::exception_ptr& failed) {
      if (failed) failure = to_error(failed);
    });
    loop.run();
    return failure;
  }
  static std::optional<Error> pass() {
    asio::io_context loop;
    return pass(loop);
  }

 private:
  std::string folder_;
};

TEST_F(Failpoint, NothingHappensAtAPointThatIsNotArmed) {
  EXPECT_FALSE(pass());
  EXPECT_FALSE(reached());
  ::unsetenv("KATA_FAILPOINTS_DIR");
  arm("error 5 lost");
  EXPECT_FALSE(pass());
}

TEST_F(Failpoint, ErrorHasCodeAndText) {
  arm("error 14 the disk is on fire");
  const auto failure = pass();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), Code::kUnavailable);
  EXPECT_EQ(failure->message(), "the disk is on fire");
  EXPECT_TRUE(reached());
}

TEST_F(Failpoint, DelayGoesOn) {
  arm("delay 20");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(pass());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(20));
}

TEST_F(Failpoint, HoldLastsUntilTheFileIsRemoved) {
  arm("hold");
  asio::io_context loop;
  asio::steady_timer release(loop, std::chrono::milliseconds(30));
  bool was_reached = false;
  release.async_wait([&](const boost::system::error_code&) {
    was_reached = reached();
    std::filesystem::remove(folder() + "/here");
  });
  EXPECT_FALSE(pass(loop));
  EXPECT_TRUE(was_reached);
}

TEST_F(Failpoint, CrashEndsTheProcess) {
  arm("crash");
  const pid_t child = ::fork();
  if (child == 0) {
    pass();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_F(Failpoint, WrongActionsAreRefused) {
  for (const char* action : {"", "explode", "delay", "delay soon", "delay -1", "error five gone"}) {
    arm(action);
    const auto failure = pass();
    ASSERT_TRUE(failure) << action;
    EXPECT_EQ(failure->code(), Code::kInvalidArgument) << action;
  }
}

}  // namespace
}  // namespace kata::failpoint

#else

TEST(Failpoint, IsNotInThisBuild) {
  KATA_FAILPOINT("here");
}

#endif
