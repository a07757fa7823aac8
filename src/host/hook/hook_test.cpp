// Real programs, run as hooks.
#include "host/hook/hook.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::hook {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::HasSubstr;

class HookTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-hook-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  [[nodiscard]] State state() const {
    return {.id = "c1", .pid = 42, .bundle = dir_, .annotations = {{"key", "a \"quoted\"\nvalue"}}};
  }
  static oci::Hook program(const std::string& path) {
    return {.path = path, .args = {}, .env = {}, .timeout = 0};
  }
  static oci::Hook shell(const std::string& text, int64_t timeout = 0) {
    return {.path = "/bin/sh", .args = {"sh", "-c", text}, .env = {"PATH=/usr/bin:/bin"}, .timeout = timeout};
  }
  std::string file(const std::string& name, const std::string& text, mode_t mode) const {
    write_file(dir_ + "/" + name, text);
    ::chmod((dir_ + "/" + name).c_str(), mode);
    return dir_ + "/" + name;
  }
  [[nodiscard]] std::string log() const { return read_file(dir_ + "/log"); }

  void run(Awaitable<> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 20s, "test"), asio::use_future);
    context_.restart();
    while (future.wait_for(0s) != std::future_status::ready && context_.run_one() > 0) {
    }
    future.get();
  }
  Error failure(const oci::Hook& hook, Kind kind = Kind::kCreateRuntime) {
    try {
      run(hook::run(kind, {hook}, state()));
    } catch (const Error& error) {
      return error;
    }
    return {Code::kOk, "no failure"};
  }

  asio::cancellation_signal signal_;
  asio::io_context context_;
  std::string dir_;
};

TEST_F(HookTest, StateOfEachKind) {
  const auto text = [](Kind kind) {
    return state_json(kind, {.id = "c", .pid = 7, .bundle = "/b", .annotations = {}});
  };
  EXPECT_EQ(text(Kind::kPrestart),
            R"({"ociVersion":"1.0.2","id":"c","status":"creating","bundle":"/b","pid":7})");
  EXPECT_THAT(text(Kind::kCreateRuntime), HasSubstr(R"("status":"creating")"));
  EXPECT_THAT(text(Kind::kPoststart), HasSubstr(R"("status":"running")"));
  EXPECT_EQ(state_json(Kind::kPoststop, {.id = "c", .bundle = "/b", .annotations = {{"a", "b"}}}),
            R"({"ociVersion":"1.0.2","id":"c","status":"stopped","bundle":"/b","annotations":{"a":"b"}})");
}

TEST_F(HookTest, RunsInOrderWithItsArgumentsEnvironmentAndState) {
  oci::Hook first = shell("echo $0 $1 $MARK $HOME $(pwd) >> log; cat >> log");
  first.args = {"called-so", "-c", first.args[2], "zero", "one"};
  first.env = {"MARK=there", "PATH=/bin"};
  run(hook::run(Kind::kPrestart, {first, shell("echo >> log; echo second >> log")}, state()));
  EXPECT_EQ(log(), "zero one there " + dir_ + "\n" + state_json(Kind::kPrestart, state()) + "\nsecond\n");
}

TEST_F(HookTest, LargeStateAndMuchOutput) {
  State large = state();
  large.annotations["big"] = std::string(300000, 'x');
  run(hook::run(Kind::kPrestart,
                {shell("wc -c > log; i=0; while [ $i -lt 3000 ]; do echo a line of some "
                       "length that goes nowhere >&2; i=$((i+1)); done")},
                large));
  EXPECT_EQ(log(), std::to_string(state_json(Kind::kPrestart, large).size()) + "\n");
}

TEST_F(HookTest, FailuresNameTheHookItsEndAndItsLastLine) {
  struct Row {
    const char* name;
    oci::Hook hook;
    Code code;
    std::string message;
  };
  const Row rows[] = {
      {"exit 3", shell("echo first >&2; echo last word >&2; exit 3"), Code::kFailedPrecondition,
       "createRuntime hook #0 /bin/sh: exit code 3: last word"},
      {"exit 3 without a word", shell("exit 3"), Code::kFailedPrecondition,
       "createRuntime hook #0 /bin/sh: exit code 3"},
      {"signal", shell("kill -9 $$"), Code::kFailedPrecondition,
       "createRuntime hook #0 /bin/sh: signal 9 (Killed)"},
      {"missing", program("/no/such/hook"), Code::kNotFound,
       "createRuntime hook #0 /no/such/hook: running /no/such/hook: No such file or directory"},
      {"not executable", program(file("plain", "#!/bin/sh\n", 0644)), Code::kPermissionDenied,
       "Permission denied"},
      {"no program", program(file("text", "neither", 0755)), Code::kInternal, "Exec format error"},
      {"a folder", program(dir_), Code::kPermissionDenied, "Permission denied"},
      {"empty path", program(""), Code::kInvalidArgument, "the path is not absolute"},
      {"relative path", program("bin/sh"), Code::kInvalidArgument, "the path is not absolute"},
      {"negative timeout", shell("true", -1), Code::kInvalidArgument, "timeout -1 is negative"},
      {"timeout", shell("echo busy >&2; sleep 1000", 1), Code::kDeadlineExceeded,
       "createRuntime hook #0 /bin/sh: waiting for its end: not done within 1 s: busy"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const Error error = failure(row.hook);
    EXPECT_EQ(error.code(), row.code) << error.message();
    EXPECT_THAT(error.message(), HasSubstr(row.message));
  }
}

TEST_F(HookTest, TheFirstFailureEndsIt) {
  EXPECT_THROW(run(hook::run(Kind::kPrestart, {shell("exit 1"), shell("echo second > log")}, state())),
               Error);
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/log"));
}

TEST_F(HookTest, LateKindsRunAll) {
  run(run_all(Kind::kPoststop, {shell("exit 1"), program("/no/such"), shell("echo third > log")}, state()));
  EXPECT_EQ(log(), "third\n");
}

TEST_F(HookTest, TooLateIsKilledWithAllThatItStarted) {
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(failure(shell("sleep 1000 & echo $! > log; wait", 1)).code(), Code::kDeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
  const pid_t left = std::stoi(log());
  for (int i = 0; i < 100 && ::kill(left, 0) == 0; ++i) run(pause_for(20ms));
  EXPECT_NE(::kill(left, 0), 0);
}

TEST_F(HookTest, TooLateGoesOnWhereItMay) {
  const Rules rules{.limit = 100ms, .late = Rules::Late::kLeft};
  run(run_all(Kind::kPoststop, {shell("sleep 0.4; echo done > log", 30)}, state(), rules));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/log"));
  for (int i = 0; i < 250 && !std::filesystem::exists(dir_ + "/log"); ++i) run(pause_for(20ms));
  EXPECT_EQ(log(), "done\n");
}

TEST_F(HookTest, WhatItLeavesRunningIsNotWaitedFor) {
  const auto begun = std::chrono::steady_clock::now();
  run(hook::run(Kind::kPrestart, {shell("sleep 5 & echo $! > log")}, state()));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 4s);
  ::kill(std::stoi(log()), SIGKILL);
}

TEST_F(HookTest, GivenUpItIsKilled) {
  std::string seen;
  Event given_up(context_.get_executor());
  asio::co_spawn(context_, hook::run(Kind::kPrestart, {shell("echo $$ > log; sleep 1000")}, state()),
                 asio::bind_cancellation_slot(signal_.slot(), [&](const std::exception_ptr& failed) {
                   seen = failed ? to_error(failed).message() : "done";
                   given_up.set();
                 }));
  context_.restart();
  for (int i = 0; i < 250 && !std::filesystem::exists(dir_ + "/log"); ++i) run(pause_for(20ms));
  signal_.emit(asio::cancellation_type::terminal);
  run(given_up.wait());
  EXPECT_THAT(seen, HasSubstr("prestart hook #0"));
  EXPECT_NE(::kill(std::stoi(log()), 0), 0);
}

}  // namespace
}  // namespace kata::hook
