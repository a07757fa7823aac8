// Bind mounts of a container's spec: what they name on the node is shared with the guest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/device/container_disks.h"
#include "host/resource/share_fs/share.h"
#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::volume {

// Guest folder that stands for a pod's /dev/shm (agent-api facts, section 7).
inline constexpr const char* kGuestShm = "/run/kata-containers/sandbox/shm";

bool has_option(const oci::Mount& mount, std::string_view option);
bool is_bind(const oci::Mount& mount);

enum class MountKind {
  // The guest makes it by itself: proc, tmpfs, devpts, ...
  kGuestOnly,
  // The pod's shared memory.
  kSandboxShm,
  // A file or folder of the node.
  kHostBind,
  // A file or folder below /dev, /proc or /sys: of the node, of no use in a VM.
  kHostSystem,
};
MountKind classify(const oci::Mount& mount);

// Shares every host bind of the spec and rewrites its source to the guest's path; a mount that the container
// has to go without is taken out. Returns the guest paths to give back later; mounts whose sources are in the
// guest already (`done`) are left alone. On failure those that were shared by this call are given back.
Awaitable<std::vector<std::string>> share_bind_mounts(
    share_fs::Share& share, oci::Spec& spec, std::string container_id,
    const std::vector<device::ContainerDisks::MountSource>& done = {});

}  // namespace kata::volume
