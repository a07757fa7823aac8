// The folder shared with a sandbox's guest by virtio-fs: its tree, its virtiofsd, what is in it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "host/resource/share_fs/share_tree.h"
#include "host/resource/share_fs/virtiofsd.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"
#include "lib/error/teardown.h"

namespace kata::share_fs {

class VirtiofsdProcess;

// What the guest's agent mounts, and where (agent-api facts, sections 4 and 7).
inline constexpr std::string_view kMountTag = "kataShared";
inline constexpr std::string_view kGuestMountPoint = "/run/kata-containers/shared/containers/";

struct ShareFsConfig {
  std::string sandbox_id;
  // Folder for the socket; exists.
  std::string run_dir;
  // Configuration keys virtio_fs_daemon, virtio_fs_cache, virtio_fs_extra_args, virtio_fs_queue_size.
  std::string daemon;
  std::string cache = "auto";
  std::vector<std::string> extra_args;
  uint32_t queue_size = 1024;
  bool debug = false;
  // What every sandbox shows in its guest (sandbox_bind_mounts), each under its own last name.
  struct SandboxMount {
    std::string source;
    ShareTree::Access access;
  };
  std::vector<SandboxMount> sandbox_mounts;
  // cgroup.procs files that virtiofsd joins before it runs.
  std::vector<std::string> cgroup_procs;
  // For tests: elsewhere than kShareBase, other places to look for virtiofsd.
  std::string base = std::string(kShareBase);
  std::vector<std::string> daemon_places = virtiofsd_places();
};

// One thread. The process must be in a mount namespace of its own (enter_private_mount_namespace), which
// virtiofsd inherits.
class ShareFs {
 public:
  ShareFs(asio::any_io_executor executor, ShareFsConfig config);
  ~ShareFs();
  ShareFs(const ShareFs&) = delete;
  ShareFs& operator=(const ShareFs&) = delete;

  // Makes the tree and starts virtiofsd. The socket listens before the first suspension: a VMM started right
  // after the call can connect. On failure nothing is left behind.
  Awaitable<> prepare();
  // What the VM needs; known from the beginning.
  [[nodiscard]] vmm::ShareSpec spec() const;

  // Bind mounts a container's root file system into the share; returns its path in the guest.
  std::string share_rootfs(const std::string& container_id, const std::string& source);
  // A folder or file of the host; one per source and access, counted. In a child process with a limit, since
  // any file system may be behind it. Returns its path in the guest.
  Awaitable<std::string> share_path(std::string source, ShareTree::Access access);
  // Takes a container's root file system out. Not there is success.
  void unshare_rootfs(const std::string& container_id);
  // Gives back one share_path() by the guest path that it returned.
  Awaitable<> unshare_path(std::string guest_path);

  // Returns how virtiofsd ended, with its last words, whenever and why ever that happens. Any number of
  // waiters.
  Awaitable<std::string> daemon_end();
  // 0 before prepare().
  [[nodiscard]] pid_t pid() const;

  // Ends virtiofsd, unmounts and removes everything; all steps run, failures are logged. Idempotent. Call it
  // when the VM is gone.
  Awaitable<> release();

  // All that a sandbox's share may have left on disk and as mounts in this namespace, by its id alone;
  // processes are ended by who recorded them. For the time after a crash; safe to call twice.
  static void clean_up(std::string_view sandbox_id, Teardown& teardown, std::string_view base = kShareBase);

 private:
  struct Shared {
    std::string name;
    size_t users = 0;
  };
  Awaitable<> start_daemon();
  Awaitable<> bind_sandbox_mounts();
  [[nodiscard]] std::string socket_path() const { return config_.run_dir + "/virtiofsd.sock"; }

  asio::any_io_executor executor_;
  ShareFsConfig config_;
  ShareTree tree_;
  // Shared with the coroutines that watch it.
  std::shared_ptr<VirtiofsdProcess> daemon_;
  // Key: access and source.
  std::map<std::string, Shared> paths_;
  enum class State { kNew, kPrepared, kReleased };
  State state_ = State::kNew;
};

}  // namespace kata::share_fs
