#include "host/vmm/guest_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/vmm/console_log.h"
#include "lib/log/log.h"

namespace kata::vmm {
namespace {

class Collecting : public log::Sink {
 public:
  explicit Collecting(std::vector<std::string>& lines) : lines_(lines) {}
  void write(const log::Record& record) override {
    lines_.push_back(std::string(log::level_name(record.level)) + "|" + std::string(record.message));
  }

 private:
  std::vector<std::string>& lines_;
};

class GuestLogTest : public testing::Test {
 protected:
  void SetUp() override {
    log::set_sink(std::make_unique<Collecting>(lines_));
    log::set_level(log::Level::kDebug);
  }
  void TearDown() override {
    log::set_sink(nullptr);
    log::set_level(log::Level::kInfo);
  }
  std::vector<std::string> lines_;
};

TEST_F(GuestLogTest, LevelsAndTexts) {
  GuestLog guest;
  for (const char* line :
       {"[    0.1] Linux version 6", "time=2026-11-24T22:57:10Z level=info msg=\"ready\" port=1024",
        "time=x level=error msg=broken", "time=x level=fatal msg=worse", "time=x level=trace msg=detail",
        "time=x level=loud msg=y", "time=x level=warning", "time=a b level=error msg=z",
        "level=error msg=q"}) {
    guest.line(line);
  }
  EXPECT_THAT(lines_, testing::ElementsAre("debug|[    0.1] Linux version 6", "info|msg=\"ready\" port=1024",
                                           "warning|msg=broken", "warning|msg=worse",
                                           "debug|time=x level=loud msg=y", "warning|",
                                           "debug|time=a b level=error msg=z", "debug|level=error msg=q"));
}

TEST_F(GuestLogTest, AFloodIsCountedNotPassedOn) {
  GuestLog guest(3);
  const auto begin = GuestLog::Clock::time_point() + std::chrono::hours(1);
  for (int i = 0; i < 1000; ++i) guest.line("flood", begin);
  EXPECT_EQ(lines_.size(), 3U);
  guest.line("calm", begin + std::chrono::seconds(2));
  EXPECT_THAT(lines_, testing::ElementsAre("debug|flood", "debug|flood", "debug|flood",
                                           "warning|the guest wrote too much on its console", "debug|calm"));
}

TEST_F(GuestLogTest, WhatIsNotShownAnywayIsNotCounted) {
  log::set_level(log::Level::kInfo);
  GuestLog guest(1);
  const auto begin = GuestLog::Clock::time_point() + std::chrono::hours(1);
  for (int i = 0; i < 10; ++i) guest.line("kernel", begin);
  guest.line("time=x level=warning msg=w", begin);
  EXPECT_THAT(lines_, testing::ElementsAre("warning|msg=w"));
}

TEST_F(GuestLogTest, ConsoleHandsItsLinesOver) {
  std::vector<std::string> seen;
  ConsoleLog console(2, 10);
  console.on_line([&](const std::string& line) { seen.push_back(line); });
  console.append("one\r\n\ntw");
  console.append("o\x1b[31m!\nvery long line indeed\nrest");
  EXPECT_THAT(seen, testing::ElementsAre("one", "two!", "very long "));
}

}  // namespace
}  // namespace kata::vmm
