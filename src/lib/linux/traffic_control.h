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

// What leaves through the link is slowed down to `bits` per second (tc-tbf(8)); frames that would wait longer
// than a tenth of a second are dropped. Replaces a limit that was there.
void limit_rate(NetlinkSocket& socket, int link, uint64_t bits);
// Takes the limit away; none there is fine.
void remove_rate_limit(NetlinkSocket& socket, int link);

// Sends every frame that arrives at `from` out of `to`.
void redirect(NetlinkSocket& socket, int from, int to);
// Takes the filter of redirect() away; none there is fine.
void remove_redirect(NetlinkSocket& socket, int from);

}  // namespace kata::kernel
