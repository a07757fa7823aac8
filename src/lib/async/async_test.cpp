#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/blocking_pool.h"
#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/async/unless.h"
#include "lib/fd/io.h"

namespace kata {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

// Runs a coroutine to its end on a loop of its own and passes its exception on.
template <typename T>
T run(asio::io_context& context, Awaitable<T> task) {
  auto future = asio::co_spawn(context, std::move(task), asio::use_future);
  context.restart();
  context.run();
  return future.get();
}

Code code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::kOk;
}

Awaitable<int> answer(int value) {
  co_return value;
}

TEST(DeadlineTest, PassesResultsAndErrorsAndCutsOffWhatHangs) {
  asio::io_context context;
  Event never(context.get_executor());
  EXPECT_EQ(run(context, with_deadline(answer(4), 10s, "answering")), 4);
  EXPECT_EQ(code_of([&] { run(context, with_deadline(never.wait(), 5ms, "waiting for VM v1")); }),
            Code::kDeadlineExceeded);
  auto failing = []() -> Awaitable<> {
    throw Error(Code::kNotFound, "x");
    co_return;
  };
  EXPECT_EQ(code_of([&] { run(context, with_deadline(failing(), 10s, "failing")); }), Code::kNotFound);
}

TEST(DeadlineTest, DurationText) {
  EXPECT_EQ(duration_text(20ms), "20 ms");
  EXPECT_EQ(duration_text(3500ms), "3.5 s");
  EXPECT_EQ(duration_text(30s), "30 s");
  EXPECT_EQ(duration_text(12345ms), "12.3 s");
  EXPECT_EQ(duration_text(3600s), "3600 s");
}

TEST(EventTest, WaitersBeforeAndAfterAreReleased) {
  asio::io_context context;
  Event event(context.get_executor());
  int released = 0;
  auto waiter = [&]() -> Awaitable<> {
    co_await event.wait();
    ++released;
  };
  TaskGroup group(context.get_executor(), nullptr);
  group.spawn("a", waiter());
  group.spawn("b", waiter());
  auto setter = [&]() -> Awaitable<> {
    event.set();
    co_await group.join();
  };
  run(context, setter());
  EXPECT_EQ(released, 2);
  run(context, waiter());
  EXPECT_EQ(released, 3);
}

TEST(TaskGroupTest, CancelEndsTasksAndErrorsAreNamed) {
  asio::io_context context;
  std::vector<std::string> errors;
  TaskGroup group(context.get_executor(), [&](std::string_view task, const Error& error) {
    errors.push_back(std::string(task) + "|" + error.message());
  });
  Event never(context.get_executor());
  auto hang = [&]() -> Awaitable<> { co_await never.wait(); };
  auto fail = []() -> Awaitable<> {
    throw Error(Code::kInternal, "broken");
    co_return;
  };
  group.spawn("hang", hang());
  group.spawn("fail", fail());
  auto body = [&]() -> Awaitable<> {
    co_await pause_for(1ms);
    EXPECT_EQ(group.size(), 1U);
    group.cancel();
    co_await group.join();
  };
  run(context, body());
  EXPECT_EQ(group.size(), 0U);
  EXPECT_THAT(errors, testing::ElementsAre("fail|broken"));
}

// A task may be what ends its group, before it has waited for anything.
TEST(TaskGroupTest, ATaskMayCancelItsOwnGroup) {
  asio::io_context context;
  TaskGroup group(context.get_executor(), [](std::string_view task, const Error& error) {
    ADD_FAILURE() << task << ": " << error.message();
  });
  auto ends_all = [&]() -> Awaitable<> {
    group.cancel();
    co_return;
  };
  auto body = [&]() -> Awaitable<> {
    group.spawn("first", ends_all());
    group.spawn("second", ends_all());
    co_await group.join();
  };
  run(context, body());
  EXPECT_EQ(group.size(), 0U);
}

TEST(UnlessTest, TheEventWinsTheOperationOrNeither) {
  asio::io_context context;
  Event stop(context.get_executor());
  Event other(context.get_executor());
  bool cancelled = false;
  auto slow = [&]() -> Awaitable<> {
    try {
      co_await other.wait();
    } catch (...) {
      cancelled = true;
      throw;
    }
  };
  auto fails = []() -> Awaitable<> {
    throw Error(Code::kNotFound, "nothing there");
    co_return;
  };
  auto body = [&]() -> Awaitable<> {
    EXPECT_TRUE(co_await unless(stop, pause_for(1ms)));
    Code code = Code::kOk;
    try {
      co_await unless(stop, fails());
    } catch (const Error& error) {
      code = error.code();
    }
    EXPECT_EQ(code, Code::kNotFound);
    asio::post(context, [&] { stop.set(); });
    EXPECT_FALSE(co_await unless(stop, slow()));
    EXPECT_TRUE(cancelled);
    EXPECT_FALSE(co_await unless(stop, fails()));
  };
  run(context, body());
}

TEST(BlockingPoolTest, ResultComesBackFromAnotherThread) {
  asio::io_context context;
  BlockingPool pool;
  const auto here = std::this_thread::get_id();
  auto body = [&]() -> Awaitable<> {
    auto ask = [] { return std::this_thread::get_id(); };
    const auto there = co_await pool.run(ask);
    EXPECT_NE(there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
    auto fail = []() -> int { throw Error(Code::kAborted, "x"); };
    bool thrown = false;
    try {
      co_await pool.run(fail);
    } catch (const Error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  };
  run(context, body());
}

TEST(ChildProcessTest, ExitCodesSignalsAndMissingPrograms) {
  struct Row {
    const char* script;
    int code;
    int signal;
  };
  const Row rows[] = {{"exit 0", 0, 0}, {"exit 7", 7, 0}, {"kill -9 $$", 137, 9}};
  asio::io_context context;
  for (const Row& row : rows) {
    Command command;
    command.argv = {"/bin/sh", "-c", row.script};
    const auto child = ChildProcess::start(context.get_executor(), command);
    const ExitStatus status = run(context, child->wait());
    EXPECT_EQ(status.code, row.code) << row.script;
    EXPECT_EQ(status.signal, row.signal) << row.script;
    EXPECT_FALSE(child->signal(0));
  }
  Command missing;
  missing.argv = {"/no/such/program"};
  try {
    ChildProcess::start(context.get_executor(), missing);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "running /no/such/program: No such file or directory");
  }
}

TEST(ChildProcessTest, DescriptorsArriveFromThreeOn) {
  asio::io_context context;
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  std::array<int, 2> other;
  ASSERT_EQ(::pipe2(other.data(), O_CLOEXEC), 0);
  Command command;
  command.argv = {"/bin/sh", "-c", "echo four >&4; echo three >&3"};
  command.from_three = {ends[1], other[1]};
  const auto child = ChildProcess::start(context.get_executor(), command);
  ::close(ends[1]);
  ::close(other[1]);
  EXPECT_EQ(run(context, child->wait()).code, 0);
  EXPECT_EQ(read_all(ends[0], 100, "pipe"), "three\n");
  EXPECT_EQ(read_all(other[0], 100, "pipe"), "four\n");
  ::close(ends[0]);
  ::close(other[0]);
}

TEST(ChildProcessTest, OtherDescriptorsStayBehindEvenWithoutCloseOnExec) {
  asio::io_context context;
  const UniqueFd open(::open("/dev/null", O_RDONLY));
  const UniqueFd given(::open("/dev/null", O_RDONLY));
  Command command;
  command.argv = {"sh", "-c",
                  "test ! -e /proc/self/fd/" + std::to_string(open.get()) + " -a -e /proc/self/fd/" +
                      std::to_string(given.get())};
  command.inherit = {given.get()};
  const auto child = ChildProcess::start(context.get_executor(), command);
  EXPECT_EQ(run(context, child->wait()).code, 0);
}

TEST(ChildProcessTest, StopKillsWhatIgnoresTheRequest) {
  asio::io_context context;
  Command command;
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe(ends.data()), 0);
  command.argv = {"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do read x; done"};
  command.stdout_fd = ends[1];
  command.session = Command::Session::kOwn;
  const auto child = ChildProcess::start(context.get_executor(), command);
  ::close(ends[1]);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  ::close(ends[0]);
  EXPECT_EQ(run(context, child->stop(20ms)).signal, SIGKILL);
}

TEST(RunInChildTest, ErrorsCrossTheBorderAndHangsEnd) {
  asio::io_context context;
  run(context, run_in_child([] {}, 10s, "nothing"));
  try {
    run(context, run_in_child([] { throw Error(Code::kAlreadyExists, "there"); }, 10s, "mounting /x"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kAlreadyExists);
    EXPECT_EQ(error.message(), "mounting /x: there");
  }
  EXPECT_EQ(code_of([&] { run(context, run_in_child([] { ::pause(); }, 20ms, "hanging")); }),
            Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace kata
