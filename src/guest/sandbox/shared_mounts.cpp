#include "guest/sandbox/shared_mounts.h"

#include <algorithm>
#include <linux/mount.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

constexpr std::chrono::seconds kSourceLimit{10};
constexpr std::chrono::milliseconds kLookAgain{50};
constexpr std::chrono::seconds kMoveLimit{10};
constexpr size_t kMountinfoLimit = size_t{4} << 20;

std::string proc_file(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// A process that has ended has no mounts.
bool is_mounted(pid_t pid, const std::string& path) {
  try {
    const auto entries = kernel::parse_mountinfo(read_file(proc_file(pid, "mountinfo"), kMountinfoLimit));
    return entries && std::ranges::find(*entries, path, &kernel::MountEntry::mount_point) != entries->end();
  } catch (const Error&) {
    return false;
  }
}

Awaitable<bool> appears(pid_t pid, const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + kSourceLimit;
  while (!is_mounted(pid, path)) {
    if (std::chrono::steady_clock::now() >= end) co_return false;
    co_await pause_for(kLookAgain);
  }
  co_return true;
}

void enter(const UniqueFd& mount_namespace, const std::string& whose) {
  if (::setns(mount_namespace.get(), CLONE_NEWNS) != 0) throw_errno("entering the mounts of the " + whose);
}

// In a child process, which may change its mount namespace.
void clone_mount(const SharedMount& mount, pid_t source, pid_t target) {
  const UniqueFd from = open_file(proc_file(source, "ns/mnt"), O_RDONLY);
  const UniqueFd to = open_file(proc_file(target, "ns/mnt"), O_RDONLY);
  enter(from, "source container");
  const UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, mount.source_path.c_str(),
                                                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)));
  if (!tree) throw_errno("cloning the mount " + mount.source_path);
  enter(to, "new container");
  if (::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, mount.target_path.c_str(),
                MOVE_MOUNT_F_EMPTY_PATH) != 0)
    throw_errno("mounting on dst_path " + mount.target_path);
}

void check_path(const std::string& path, const char* field) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)
    throw Error(Code::kInvalidArgument,
                std::string("shared_mounts: ") + field + " \"" + path.substr(0, 300) + "\" is not absolute");
}

}  // namespace

Awaitable<> share_mount(SharedMount mount, pid_t source, pid_t target) {
  check_path(mount.source_path, "src_path");
  check_path(mount.target_path, "dst_path");
  if (!co_await appears(source, mount.source_path)) {
    log::warning("shared mount skipped: its source has not appeared",
                 {{"mount", mount.name}, {"src_path", mount.source_path}});
    co_return;
  }
  auto body = [&] { clone_mount(mount, source, target); };
  co_await run_in_child(std::move(body), kMoveLimit, "shared mount " + mount.name);
}

}  // namespace kata::sandbox
