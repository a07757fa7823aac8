// What the guest writes on its console, as lines of our own log.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace kata::vmm {

// Takes console lines and logs them with source=guest: those of the agent (time=... level=... msg=...) at
// their level, but never as errors of ours, all others at debug. The guest is not trusted: at most so many
// lines a second are passed on, the rest is counted and told. Lines are printable and short already
// (ConsoleLog).
class GuestLog {
 public:
  using Clock = std::chrono::steady_clock;

  explicit GuestLog(size_t lines_per_second = 100) : lines_per_second_(lines_per_second) {}

  void line(std::string_view text, Clock::time_point now = Clock::now());

 private:
  size_t lines_per_second_;
  Clock::time_point second_{};
  size_t passed_ = 0;
  size_t dropped_ = 0;
};

}  // namespace kata::vmm
