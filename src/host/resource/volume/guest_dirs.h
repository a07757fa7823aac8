// emptyDirs that are the guest's own: there is nothing of them on the node that the guest would have to see.
#pragma once

#include <string>
#include <vector>

#include "host/agent/messages.h"
#include "host/device/container_disks.h"
#include "lib/oci/spec.h"

namespace kata::volume {

struct GuestDirs {
  // Kept until the sandbox ends: containers of a pod come and go.
  std::vector<agent::Storage> storages;
  std::vector<device::ContainerDisks::MountSource> mounts;
};

// For a guest without a shared file system: memory-backed emptyDirs are a tmpfs of the guest as large as the
// node's, the others a folder of it; mounts that are `done` stay what they are (facts: agent-api, section 4).
GuestDirs guest_empty_dirs(const oci::Spec& spec, const std::string& sandbox_id,
                           const std::vector<device::ContainerDisks::MountSource>& done);

}  // namespace kata::volume
