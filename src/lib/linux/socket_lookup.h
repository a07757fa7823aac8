// Connections to ports that nobody listens on, given to a listener by an sk_lookup program
// (Documentation/bpf/prog_sk_lookup.rst; kernel 5.9 or newer).
#pragma once

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

// From now on every TCP connection that is made to an address of the network namespace `netns`, whatever its
// port, arrives at `ipv4` or `ipv6` (listening sockets of that namespace; -1 = that family stays as it was).
// Lasts until the returned link is closed. Throws with errno: EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL
// on older kernels, EBUSY or E2BIG when somebody else has one there.
UniqueFd take_all_connections(int netns, int ipv4, int ipv6);

}  // namespace kata::kernel
