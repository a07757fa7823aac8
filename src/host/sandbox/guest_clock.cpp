#include "host/sandbox/guest_clock.h"

#include <string>

#include "lib/async/deadline.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono::nanoseconds;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr Duration kInterval = 30s;
constexpr nanoseconds kTolerance = 1ms;
// A question that took longer says little: it is asked again, a few times.
constexpr nanoseconds kGoodReading = 10ms;
constexpr int kMaxReadings = 5;

nanoseconds host_clock() {
  return std::chrono::system_clock::now().time_since_epoch();
}

Awaitable<std::optional<ClockReading>> read_clock(const GuestClock& guest) {
  ClockReading reading{.before = host_clock()};
  const auto answer = co_await guest.adjust(nanoseconds::zero());
  reading.after = host_clock();
  if (!answer) co_return std::nullopt;
  reading.guest = *answer;
  co_return reading;
}

// False when the agent cannot.
Awaitable<bool> correct_clock(const GuestClock& guest) {
  std::optional<ClockReading> best;
  for (int i = 0; i < kMaxReadings && !(best && best->took() <= kGoodReading); ++i) {
    const auto reading = co_await read_clock(guest);
    if (!reading) co_return false;
    if (!best || reading->took() < best->took()) best = reading;
  }
  const nanoseconds error = clock_error(*best);
  if (error == nanoseconds::zero()) co_return true;
  log::debug("the guest's clock is corrected", {{"ahead_ns", std::to_string(error.count())}});
  co_await guest.adjust(-error);
  co_return true;
}

}  // namespace

nanoseconds clock_error(const ClockReading& reading) {
  const nanoseconds half = reading.took() / 2;
  const nanoseconds error = reading.guest - (reading.before + half);
  const nanoseconds doubt = half + kTolerance;
  return error > doubt || error < -doubt ? error : nanoseconds::zero();
}

Awaitable<> follow_clock(GuestClock guest) {
  const nanoseconds begin = host_clock();
  co_await guest.set();
  if (host_clock() - begin <= kGoodReading) co_await pause_for(kInterval);
  while (co_await correct_clock(guest)) co_await pause_for(kInterval);
}

}  // namespace kata::sandbox
