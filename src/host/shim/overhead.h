// What a pod costs on the node: the shim and all that it started (VMM, virtiofsd, vsock device), read from
// /proc.
#pragma once

#include <string>
#include <sys/types.h>

#include "host/sandbox/types.h"

namespace kata::shim {

// Sums of the process `shim` and its descendants: processor time, memory (each page counted once, by its
// share: the guest's memory, which several of them map, is part of it), processes. What /proc does not tell
// (any more) is left out. `proc` is /proc, or a test's copy.
sandbox::ContainerStats pod_usage(pid_t shim, const std::string& proc = "/proc");

}  // namespace kata::shim
