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

// Claims the disk of a kBlock list and adds its storage.
void claim_block_rootfs(const MountRequest& mount, const std::string& container_id,
                        device::DiskManager& disks, device::ContainerDisks& to);

}  // namespace kata::rootfs
