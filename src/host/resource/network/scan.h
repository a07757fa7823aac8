// From what lies in a pod's namespace to what its VM gets (facts: agent-api, section 6.1). Pure.
#pragma once

#include <string>
#include <vector>

#include "host/agent/messages.h"
#include "host/resource/network/net_kernel.h"

namespace kata::network {

// One link of the pod that becomes a NIC of the guest.
struct Endpoint {
  std::string link;
  // Of the link; another one that later has the same name has another index.
  int index = 0;
  // "veth", "macvlan", "ipvlan", "vlan", "tap", "device".
  std::string kind;
  agent::Interface interface;
  // Queues of the NIC and the size of those in which the guest receives; 0 = as all have.
  size_t queues = 0;
  uint32_t queue_size = 0;
};

struct Plan {
  // In the order of the links' indexes: the order in which they were added to the namespace.
  std::vector<Endpoint> endpoints;
  std::vector<agent::Route> routes;
  std::vector<agent::Neighbour> neighbours;
  // What was left out, with its name and the reason.
  std::vector<std::string> warnings;
};

// Whether a link of this name is one that our own wiring made.
bool is_own_link(const std::string& name);

// Throws kUnimplemented for a physical link: handing hardware to the VM is not supported yet, and a pod
// without the NIC that it was given would not be the pod that was asked for.
// kFailedPrecondition for two links with one hardware address.
Plan plan_network(const Picture& picture);

}  // namespace kata::network
