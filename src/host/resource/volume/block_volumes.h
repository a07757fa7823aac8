// Volumes and devices of a container's spec that are disks.
#pragma once

#include <string>
#include <vector>

#include "host/device/container_disks.h"
#include "host/device/disk_manager.h"
#include "host/resource/volume/direct_volume.h"
#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::volume {

struct VolumeRules {
  std::string sandbox_id;
  // What emptyDirs on disk are: shared folders, or disks of their own. Encrypted ones are refused: the keys
  // would have to come from a service that the guest does not have.
  enum class EmptyDirs { kShared, kDisks, kEncrypted };
  EmptyDirs empty_dirs = EmptyDirs::kShared;
  std::string direct_volumes = kDirectVolumeRoot;
};

// Before the claim: makes the images of emptyDirs; returns their paths, which last as long as the pod.
Awaitable<std::vector<std::string>> prepare_empty_dirs(const oci::Spec& spec, const VolumeRules& rules);

// Claims the disk behind each mount of the spec whose source is a block device (or an image file, with option
// `loop`), each direct volume and emptyDir that is to be one, and behind each block node among its devices.
// Mounts below /dev give the container the device itself; any other is mounted in the guest with the file
// system that it has. What was claimed before an error stays in `to`. B5: read-only reaches the guest as a
// disk that cannot be written.
void claim_block_volumes(const oci::Spec& spec, const VolumeRules& rules, device::DiskManager& disks,
                         device::ContainerDisks& to);

// How the device cgroup's rules let a node be used: the first exact rule decides. kUnmentioned: only a rule
// for everything lets it, which is a privileged container's way to all devices of the node.
enum class NodeAccess { kReadOnly, kReadWrite, kUnmentioned };
NodeAccess node_access(const oci::Spec& spec, const oci::Device& node);

}  // namespace kata::volume
