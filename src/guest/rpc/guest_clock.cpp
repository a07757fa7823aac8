#include "guest/rpc/guest_clock.h"

#include <cstdint>
#include <ctime>
#include <string>
#include <sys/time.h>
#include <sys/timex.h>

#include "lib/error/error.h"

namespace kata::rpc {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds kSlewLimit = std::chrono::milliseconds(100);

timex step_by(nanoseconds difference) {
  timex request{};
  request.modes = ADJ_SETOFFSET | ADJ_NANO;
  const seconds whole = std::chrono::floor<seconds>(difference);
  request.time.tv_sec = whole.count();
  // Nanoseconds, by ADJ_NANO; never negative.
  request.time.tv_usec = (difference - whole).count();
  return request;
}

timex slew_by(nanoseconds difference) {
  timex request{};
  request.modes = ADJ_OFFSET_SINGLESHOT;
  request.offset = duration_cast<microseconds>(difference).count();
  return request;
}

}  // namespace

nanoseconds wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

void set_wall_clock(microseconds time) {
  const timeval value{.tv_sec = time.count() / 1'000'000, .tv_usec = time.count() % 1'000'000};
  if (::settimeofday(&value, nullptr) != 0) throw_errno("setting the guest's clock");
}

void adjust_wall_clock(nanoseconds difference) {
  if (difference == nanoseconds::zero()) return;
  timex request =
      difference > -kSlewLimit && difference < kSlewLimit ? slew_by(difference) : step_by(difference);
  if (::adjtimex(&request) < 0)
    throw_errno("adjusting the guest's clock by " + std::to_string(difference.count()) + " ns");
}

}  // namespace kata::rpc
