// Root file systems that the guest mounts from disks.
#pragma once

#include <string>
#include <vector>

#include "host/device/container_disks.h"
#include "host/device/disk_manager.h"
#include "host/resource/rootfs/mounted_rootfs.h"

namespace kata::rootfs {

enum class Kind {
  // Put together on the node and shared.
  kFolder,
  // One block device or image file.
  kBlock,
  // EROFS layers with an overlay over them (erofs_rootfs.h).
  kLayers,
};

// By the snapshotter's mounts alone (facts: oci-and-cri-annotations, section 13).
Kind classify(const std::vector<MountRequest>& mounts);

// Guest path of a container's root file system on disks.
std::string guest_rootfs_path(const std::string& container_id);

// Whether the container's spec lets it write to its root file system.
enum class RootAccess { kReadOnly, kReadWrite };

// Claims the disk of a kBlock list and adds its storage. A disk that cannot be written below a root file
// system that can gets an overlay in the guest, whose upper folder is the guest's memory.
void claim_block_rootfs(const MountRequest& mount, const std::string& container_id, RootAccess root,
                        device::DiskManager& disks, device::ContainerDisks& to);

}  // namespace kata::rootfs
