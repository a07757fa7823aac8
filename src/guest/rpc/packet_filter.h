// iptables of the guest.
#pragma once

#include <string>

#include "lib/async/awaitable.h"

namespace kata::rpc {

enum class IpFamily { kV4, kV6 };

// Output of iptables-save or ip6tables-save. kUnimplemented when the guest has no such program.
Awaitable<std::string> save_packet_filter(IpFamily family);
// Feeds `rules` to iptables-restore --wait 5; returns what it printed.
Awaitable<std::string> restore_packet_filter(IpFamily family, std::string rules);

}  // namespace kata::rpc
