// The kernel's vhost-vsock device: whether this host has it, and a context id of our own on it.
#pragma once

#include <cstdint>

#include "lib/fd/unique_fd.h"

namespace kata::vsock {

struct VhostVsock {
  // Handed to the VMM (QEMU's vhostfd=); the context id is reserved as long as it is open.
  UniqueFd fd;
  uint32_t cid = 0;
};

// Opens the device once to see: a node without a driver behind it exists on many hosts.
bool vhost_vsock_available(const char* device = "/dev/vhost-vsock");

// Opens the device and reserves a random context id that no VM of this host has. Throws with the reason of
// the open or the ioctl; kResourceExhausted when many ids in a row were taken.
VhostVsock open_vhost_vsock(const char* device = "/dev/vhost-vsock");

}  // namespace kata::vsock
