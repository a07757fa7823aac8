// The folder shared with a sandbox's guest by virtio-fs: its tree, its virtiofsd, what is in it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "host/resource/share_fs/share.h"
#include "host/resource/share_fs/share_tree.h"
#include "host/resource/share_fs/virtiofsd.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"
#include "lib/error/teardown.h"

namespace kata::share_fs {

class VirtiofsdProcess;

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
class ShareFs : public Share {
 public:
  ShareFs(asio::any_io_executor executor, ShareFsConfig config);
  ~ShareFs() override;
  ShareFs(const ShareFs&) = delete;
  ShareFs& operator=(const ShareFs&) = delete;

  // Makes the tree and starts virtiofsd. The socket listens before the first suspension: a VMM started right
  // after the call can connect. On failure nothing is left behind.
  Awaitable<> prepare() override;
  [[nodiscard]] std::optional<vmm::ShareSpec> spec() const override;

  // Bind mounts a container's root file system into the share; returns its path in the guest.
  std::string share_rootfs(const std::string& container_id, const std::string& source) override;
  Awaitable<std::string> share_foreign_rootfs(std::string container_id, std::string source) override;
  // In a child process with a limit, since any file system may be behind it.
  Awaitable<std::optional<std::string>> share_path(SharedPath path) override;
  void unshare_rootfs(const std::string& container_id) override;
  Awaitable<> unshare_path(std::string guest_path) override;

  // With virtiofsd's last words.
  Awaitable<std::string> daemon_end() override;
  [[nodiscard]] pid_t pid() const override;

  Awaitable<> release() override;

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
