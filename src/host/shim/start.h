// The action `start`: the socket is bound, the serving process started, the address printed; a few
// milliseconds in all.
#pragma once

#include "host/shim/flags.h"

namespace kata::shim {

// Reads containerd's words from `in` (closed is fine), writes the answer to `out`. The current directory is
// the bundle. A container of a running pod gets the address of its sandbox's shim. Throws Error; nothing is
// left behind then.
void start(const Flags& flags, int in, int out);

}  // namespace kata::shim
