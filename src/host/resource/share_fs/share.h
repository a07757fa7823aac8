// How the files of the node that a pod's containers need get into its guest: a shared file system
// (share_fs.h) or copies (host/resource/file_copy).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "host/resource/share_fs/share_tree.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"

namespace kata::share_fs {

// What the guest's agent mounts or fills, and where (agent-api facts, sections 4 and 7).
inline constexpr std::string_view kMountTag = "kataShared";
inline constexpr std::string_view kGuestMountPoint = "/run/kata-containers/shared/containers/";

// A folder or file of the node that a container has as a mount.
struct SharedPath {
  std::string source;
  ShareTree::Access access = ShareTree::Access::kReadWrite;
  std::string container_id;
  // In the container.
  std::string destination;
};

class Share {
 public:
  virtual ~Share() = default;

  // Before the VM is there. On failure nothing is left behind.
  virtual Awaitable<> prepare() = 0;
  // The VM's device; known from the beginning. None when there is none.
  [[nodiscard]] virtual std::optional<vmm::ShareSpec> spec() const = 0;

  // Returns the path in the guest of a container's root file system. kFailedPrecondition when folders cannot
  // be one here.
  virtual std::string share_rootfs(const std::string& container_id, const std::string& source) = 0;
  // The same for one that somebody else has mounted, perhaps after this process got its own mounts (CRI-O).
  virtual Awaitable<std::string> share_foreign_rootfs(std::string container_id, std::string source) = 0;
  // Not there is success.
  virtual void unshare_rootfs(const std::string& container_id) = 0;

  // Returns its path in the guest; one per source (and access, if that makes a difference), counted. None
  // when the container goes without it, which was warned about.
  virtual Awaitable<std::optional<std::string>> share_path(SharedPath path) = 0;
  // Gives back one share_path() by the guest path that it returned.
  virtual Awaitable<> unshare_path(std::string guest_path) = 0;

  // Returns how its process ended, whenever and why ever that happens; never without a process. Any number of
  // waiters.
  virtual Awaitable<std::string> daemon_end() = 0;
  // 0 before prepare(), and always without a process.
  [[nodiscard]] virtual pid_t pid() const = 0;

  // Ends and removes everything; all steps run, failures are logged. Idempotent. When the VM is gone.
  virtual Awaitable<> release() = 0;
};

}  // namespace kata::share_fs
