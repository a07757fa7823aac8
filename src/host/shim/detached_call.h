// A call that goes on when nobody waits for it any more.
#pragma once

#include <string>

#include "lib/async/awaitable.h"

namespace kata::shim {

inline constexpr Duration kNoLimit{0};

// Runs `call` to its end whatever happens to the caller, who waits for at most `limit` (kNoLimit = for ever):
// then kDeadlineExceeded, or kCancelled when the caller itself was cancelled.
Awaitable<std::string> run_to_the_end(Awaitable<std::string> call, Duration limit, std::string what);

}  // namespace kata::shim
