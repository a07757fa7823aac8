// What one container has on disks: claimed before its VM may run, said to the guest when they are plugged.
#pragma once

#include <string>
#include <vector>

#include "host/agent/messages.h"

namespace kata::device {

// Where the guest mounts what is on disks (agent-api facts, section 4): no folder of the share, which the
// guest cannot write.
inline constexpr const char* kGuestDiskFolder = "/run/kata-containers/sandbox/storage/";

struct ContainerDisks {
  // `storage` lacks driver and source until the disk is plugged. No disk = it lies over others before it.
  struct OnDisk {
    std::string disk;
    agent::Storage storage;
  };
  struct Node {
    std::string disk;
    // In the container.
    std::string path;
  };
  // A mount of the spec whose source is then a guest path.
  struct MountSource {
    size_t index = 0;
    std::string path;
  };
  std::vector<OnDisk> storages;
  std::vector<Node> nodes;
  std::vector<MountSource> mounts;
  // Guest path of the root file system; empty = it is on no disk.
  std::string rootfs;
  // Files of the node that are removed when the container's disks are released.
  std::vector<std::string> files;
  // Every claim, to be released once each.
  std::vector<std::string> claimed;
};

}  // namespace kata::device
