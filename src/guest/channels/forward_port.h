// Connections that the host carries to a TCP port inside the guest (a port-forward of the CRI).
//
// The host sends 18 bytes: an IPv6 address (IPv4 mapped) and a port in network order. The answer is one byte:
// 0, then the raw stream; or the errno of the connect, then the end.
#pragma once

#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"
#include "lib/fd/unique_fd.h"

namespace kata::channels {

// Accepts until cancelled; many at once, more are closed unserved.
Awaitable<> serve_forwards(UniqueFd listener, TaskGroup& tasks);

}  // namespace kata::channels
