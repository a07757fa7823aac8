// What every VM driver promises, as one test suite. A driver's test instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Qemu, DriverConformance, testing::Values(&make_qemu_case));
#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/vmm/vm_driver.h"
#include "lib/async/deadline.h"

namespace kata::vmm {

// What a driver's test provides.
struct DriverCase {
  // Why the driver cannot run here; the tests are skipped with this text.
  std::string skip;
  // A small VM that starts and stays up until it is stopped.
  VmSpec spec;
  std::function<std::unique_ptr<VmDriver>(const asio::any_io_executor& executor)> make;
  // Ends the VMM as if something else had killed it.
  std::function<void(VmDriver& driver)> kill;
};
using MakeDriverCase = DriverCase (*)();

class DriverConformance : public testing::TestWithParam<MakeDriverCase> {
 protected:
  void SetUp() override {
    case_ = GetParam()();
    if (!case_.skip.empty()) GTEST_SKIP() << case_.skip;
    driver_ = case_.make(context_.get_executor());
  }
  void TearDown() override {
    if (driver_) run(driver_->stop());
  }

  // Drives the loop until the coroutine has ended; nothing here may take longer than a minute.
  template <typename T>
  T run(Awaitable<T> task) {
    auto limited = with_deadline(std::move(task), std::chrono::seconds(60), "a step of the driver suite");
    auto future = asio::co_spawn(context_, std::move(limited), asio::use_future);
    context_.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() != 0) {
    }
    return future.get();
  }
  Code failure_of(Awaitable<> task) {
    try {
      run(std::move(task));
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kOk;
  }

  asio::io_context context_;
  DriverCase case_;
  std::unique_ptr<VmDriver> driver_;
};

TEST_P(DriverConformance, IsNothingBeforeStart) {
  EXPECT_EQ(driver_->pid(), -1);
  EXPECT_TRUE(driver_->last_console_lines(10).empty());
  run(driver_->stop());
  auto wait = [](VmDriver& driver) -> Awaitable<> { co_await driver.wait(); };
  EXPECT_EQ(failure_of(wait(*driver_)), Code::kFailedPrecondition);
}

TEST_P(DriverConformance, StartsOnceAndStopsForAllWhoWait) {
  run(driver_->start(case_.spec));
  ASSERT_GT(driver_->pid(), 0);
  EXPECT_EQ(::kill(driver_->pid(), 0), 0) << "the process is there";
  EXPECT_EQ(failure_of(driver_->start(case_.spec)), Code::kFailedPrecondition);
  auto waiter = [](VmDriver& driver) -> Awaitable<VmExit> { co_return co_await driver.wait(); };
  auto first = asio::co_spawn(context_, waiter(*driver_), asio::use_future);
  auto second = asio::co_spawn(context_, waiter(*driver_), asio::use_future);
  run(driver_->stop());
  run(driver_->stop());
  EXPECT_EQ(run(driver_->wait()).reason, "stopped");
  EXPECT_EQ(first.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(second.wait_for(std::chrono::seconds(0)), std::future_status::ready);
}

TEST_P(DriverConformance, ReportsAnEndThatNobodyAskedFor) {
  run(driver_->start(case_.spec));
  case_.kill(*driver_);
  const VmExit exit = run(driver_->wait());
  EXPECT_EQ(exit.status.signal, SIGKILL);
  EXPECT_NE(exit.reason.find("signal 9"), std::string::npos) << exit.reason;
}

TEST_P(DriverConformance, AHealthyGuestDoesNotFail) {
  run(driver_->start(case_.spec));
  auto watch = [](VmDriver& driver) -> Awaitable<> {
    auto failure = driver.guest_failure();
    co_await with_deadline(std::move(failure), std::chrono::milliseconds(50), "watching the guest");
  };
  EXPECT_EQ(failure_of(watch(*driver_)), Code::kDeadlineExceeded);
}

TEST_P(DriverConformance, CanBeDestroyedWhileItRuns) {
  run(driver_->start(case_.spec));
  driver_.reset();
  context_.restart();
  context_.run_for(std::chrono::seconds(5));
}

}  // namespace kata::vmm
