// Traffic control as far as a pod's network needs it: what arrives at one link leaves through another (tc(8),
// tc-mirred(8), tc-u32(8)).
#pragma once

#include <cstdint>

#include "lib/linux/netlink.h"

namespace kata::kernel {

// Gives the link a place for filters on what arrives. Returns false if it had one.
bool add_ingress(NetlinkSocket& socket, int link);
// Takes it away with all its filters; none there is fine.
void remove_ingress(NetlinkSocket& socket, int link);

// Sends every frame that arrives at `from` out of `to`.
void redirect(NetlinkSocket& socket, int from, int to);
// Takes the filter of redirect() away; none there is fine.
void remove_redirect(NetlinkSocket& socket, int from);

}  // namespace kata::kernel
