// The action `delete`: what containerd runs after a crash, a failed start, and (task API version 2) after
// every deleted task (facts: containerd-shim-api, section 4).
#pragma once

#include <functional>
#include <string>

#include "host/shim/flags.h"
#include "lib/async/awaitable.h"

namespace kata::shim {

// sandbox::clean_up_leftovers, or a test's stand-in.
using CleanUp = std::function<Awaitable<>(std::string sandbox_id, std::string container_id, Duration limit)>;

// Removes what a dead shim left of this container, and for a sandbox's own id ends a shim that serves nobody
// any more; writes a DeleteResponse to `out`. A failing clean-up is reported on stderr, the answer is given
// all the same. Within containerd's five seconds. Safe to call twice, without a bundle, and for ids that
// never existed.
void remove(const Flags& flags, const CleanUp& clean_up, int out);

}  // namespace kata::shim
