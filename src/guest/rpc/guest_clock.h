// The guest's wall clock (settimeofday(2), adjtimex(2)). Its hardware tells whole seconds only, so what the
// kernel has at boot is wrong by up to one.
#pragma once

#include <chrono>

namespace kata::rpc {

std::chrono::nanoseconds wall_clock();
// Since 1970.
void set_wall_clock(std::chrono::microseconds time);
// Moves the clock by `difference`: a small one little by little (500 us a second), a large one at once. 0
// does nothing.
void adjust_wall_clock(std::chrono::nanoseconds difference);

}  // namespace kata::rpc
