// Tap devices: Ethernet links whose other end is a descriptor (Linux Documentation/networking/tuntap).
#pragma once

#include <string>
#include <vector>

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

// Opens `queues` descriptors of the tap `name` in the thread's network namespace, with virtio-net headers.
// The link is made if it is not there and then goes with its last descriptor.
std::vector<UniqueFd> open_tap(const std::string& name, size_t queues);

// The same for the macvtap link `name` of `index`. Its device number is known only to the namespace's own
// sysfs, which is mounted for the call: the calling thread must be one that ends afterwards, it gets a mount
// namespace of its own.
std::vector<UniqueFd> open_macvtap(const std::string& name, int index, size_t queues);

// `count` descriptors of /dev/vhost-net; none when the host has no such device.
std::vector<UniqueFd> open_vhost_net(size_t count);

}  // namespace kata::kernel
