// Keeps the guest's wall clock with this host's: a VM's clock starts up to a second wrong, drifts, and stands
// still while the VM does.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "lib/async/awaitable.h"

namespace kata::sandbox {

// One question for the guest's time; all since 1970.
struct ClockReading {
  // The host's clock around the question.
  std::chrono::nanoseconds before{};
  std::chrono::nanoseconds after{};
  std::chrono::nanoseconds guest{};

  [[nodiscard]] std::chrono::nanoseconds took() const { return after - before; }
};

// How far the guest is ahead (or, negative, behind), as far as the reading shows: 0 when the time that the
// question took can explain the difference, or when it is not worth a correction.
std::chrono::nanoseconds clock_error(const ClockReading& reading);

// The calls of the agent that are needed.
struct GuestClock {
  std::function<Awaitable<>()> set;
  // Reads, then moves the clock; nothing from an agent that cannot.
  std::function<Awaitable<std::optional<std::chrono::nanoseconds>>(std::chrono::nanoseconds)> adjust;
};

// Sets the clock at once, then corrects it every 30 s until cancelled. Returns when the agent cannot be
// corrected; throws what the calls throw.
Awaitable<> follow_clock(GuestClock guest);

}  // namespace kata::sandbox
