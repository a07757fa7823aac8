// Two things at once.
#pragma once

#include "lib/async/awaitable.h"

namespace kata {

// Runs both side by side until both have ended. An error of either is thrown then, the first one's before the
// second's. Cancelling the caller cancels both.
Awaitable<> both(Awaitable<> first, Awaitable<> second);

}  // namespace kata
