// Root file systems of EROFS layers (facts: behaviours B34 and B37): one disk however many layers there are,
// nothing copied, and a writable ext4 layer beside it.
#pragma once

#include <string>
#include <vector>

#include "host/device/container_disks.h"
#include "host/device/disk_manager.h"
#include "host/resource/rootfs/mounted_rootfs.h"

namespace kata::rootfs {

// Claims the disks of a kLayers list and adds the storages that the guest's agent puts together. Errors name
// the layer; what was claimed before stays in `to`.
void claim_layered_rootfs(const std::vector<MountRequest>& mounts, const std::string& container_id,
                          device::DiskManager& disks, device::ContainerDisks& to);

// The pieces of a disk made of files of these sizes, in 512-byte sectors, one after the other; file numbers
// begin at `first`.
std::vector<vmm::DiskExtent> concatenate(const std::vector<uint64_t>& sizes, size_t first = 0);

}  // namespace kata::rootfs
