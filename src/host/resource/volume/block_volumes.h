// Volumes and devices of a container's spec that are disks.
#pragma once

#include "host/device/container_disks.h"
#include "host/device/disk_manager.h"
#include "lib/oci/spec.h"

namespace kata::volume {

// Claims the disk behind each mount of the spec whose source is a block device (or an image file, with option
// `loop`), and behind each block node among its devices. Mounts below /dev give the container the device
// itself; any other is mounted in the guest with the file system that it has. What was claimed before an
// error stays in `to`. B5: read-only reaches the guest as a disk that cannot be written.
void claim_block_volumes(const oci::Spec& spec, device::DiskManager& disks, device::ContainerDisks& to);

// How the device cgroup's rules let a node be used: the first exact rule decides. kUnmentioned: only a rule
// for everything lets it, which is a privileged container's way to all devices of the node.
enum class NodeAccess { kReadOnly, kReadWrite, kUnmentioned };
NodeAccess node_access(const oci::Spec& spec, const oci::Device& node);

}  // namespace kata::volume
