// Tells the log how long the phases of a start took.
#pragma once

#include <chrono>
#include <string>

#include "lib/log/log.h"

namespace kata::sandbox {

// One debug line with the phase and its length in microseconds when it goes out of scope; bench/run
// --timeline draws them.
class PhaseTimer {
 public:
  explicit PhaseTimer(const char* phase) : phase_(phase), begin_(std::chrono::steady_clock::now()) {}
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() {
    const auto passed = std::chrono::steady_clock::now() - begin_;
    log::debug(
        "phase of the start",
        {{"phase", phase_},
         {"us", std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(passed).count())}});
  }

 private:
  const char* phase_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace kata::sandbox
