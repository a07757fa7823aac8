// Directly attached networks: a file by which somebody else says which devices of the node a pod's NICs are
// (configuration key dan_conf; format: oci-and-cri-annotations facts, section 12).
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "host/resource/network/scan.h"
#include "lib/error/error.h"

namespace kata::network {

struct DirectNetwork {
  // Path of the network namespace that the devices are in; empty = the host's.
  std::string netns;
  // Endpoints are taps, with names of their own in the guest.
  Plan plan;
};

// Reads the text of such a file. `queues`: of devices that do not say how many. Devices without an address
// get a random one. kUnimplemented for a kind of device that is known and cannot be had, kInvalidArgument for
// the rest; the message begins with the place in the file.
std::expected<DirectNetwork, Error> parse_direct_network(std::string_view text, size_t queues);

// Throws kNotFound unless each endpoint's tap is among the links.
void check_taps(const DirectNetwork& network, const std::vector<kernel::Link>& links);

}  // namespace kata::network
