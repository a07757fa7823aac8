#include <cerrno>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/container/init/rooted_path.h"
#include "guest/container/init/stage.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::container {
namespace {

// pivot_root(2) refuses a new root on a shared mount; only a shared rootfsPropagation leaves one.
void make_parent_private(const std::string& rootfs) {
  const auto entries = kernel::parse_mountinfo(read_file("/proc/self/mountinfo"));
  if (!entries) throw entries.error();
  std::string best;
  for (const kernel::MountEntry& entry : *entries) {
    const std::string& point = entry.mount_point;
    const bool above = point == "/" || rootfs == point || rootfs.starts_with(point + "/");
    if (above && point.size() >= best.size()) best = point;
  }
  kernel::set_propagation(best, MS_PRIVATE);
}

UniqueFd mount_root(const ContainerPlan& plan) {
  const bool shared = (plan.rootfs_propagation & MS_SHARED) != 0;
  // Always the whole tree: a mount left shared would carry the container's mounts to the agent.
  kernel::set_propagation("/", (plan.rootfs_propagation != 0 ? plan.rootfs_propagation : MS_SLAVE) | MS_REC);
  if (shared) make_parent_private(plan.rootfs);
  // The new root must be a mount of its own.
  const UniqueFd tree(
      ::open_tree(AT_FDCWD, plan.rootfs.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) throw_errno("opening the root file system " + plan.rootfs);
  if (shared) {
    mount_attr attributes{.attr_set = 0, .attr_clr = 0, .propagation = MS_PRIVATE, .userns_fd = 0};
    if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
      throw_errno("making the root mount private");
  }
  if (::move_mount(tree.get(), "", AT_FDCWD, plan.rootfs.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    throw_errno("mounting the root file system " + plan.rootfs);
  return open_file(plan.rootfs, O_PATH | O_DIRECTORY);
}

// Both roots in one place, then the old one, which is on top, goes: no folder for it is needed.
void pivot(int root) {
  const UniqueFd old_root = open_file("/", O_PATH | O_DIRECTORY);
  if (::fchdir(root) != 0) throw_errno("entering the root file system");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) throw_errno("pivot_root");
  if (::fchdir(old_root.get()) != 0) throw_errno("leaving the old root");
  // Unmounting it must not travel back to the agent's mounts.
  if (::mount(nullptr, ".", nullptr, MS_SLAVE | MS_REC, nullptr) != 0 || ::umount2(".", MNT_DETACH) != 0)
    throw_errno("unmounting the old root");
  if (::chdir("/") != 0) throw_errno("entering the new root");
}

// The agent's /proc/sys shows the namespaces of whoever writes, so the container's own /proc need not be
// trusted.
void set_sysctls(const ContainerPlan& plan) {
  for (const auto& [name, value] : plan.sysctl)
    with_context("setting sysctl " + name, [&] { write_existing("/proc/sys/" + name, value); });
}

void set_names(const ContainerPlan& plan) {
  if (!plan.hostname.empty() && ::sethostname(plan.hostname.data(), plan.hostname.size()) != 0)
    throw_errno("setting the host name " + plan.hostname);
  if (!plan.domainname.empty() && ::setdomainname(plan.domainname.data(), plan.domainname.size()) != 0)
    throw_errno("setting the domain name " + plan.domainname);
}

UniqueFd open_null_device() {
  UniqueFd null(::open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW));
  struct stat info{};
  if (!null || ::fstat(null.get(), &info) != 0 || !S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3))
    throw Error(Code::kFailedPrecondition,
                "masking paths: /dev/null of the container is not the null device");
  return null;
}

void set_readonly(const char* path) {
  mount_attr attributes{.attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if (::mount_setattr(AT_FDCWD, path, 0, &attributes, sizeof attributes) != 0)
    throw_errno(std::string("making ") + path + " read-only");
}

// The working directory of the first process is made where it is missing.
void make_working_directory(const std::string& cwd, int root) {
  if (cwd.empty() || cwd == "/") return;
  const UniqueFd made = RootedPath(root).ensure(cwd, RootedPath::Leaf::kDirectory);
}

}  // namespace

void build_root(const InitPlan& plan, const AgentLink& agent) {
  const ContainerPlan& container = *plan.container;
  const UniqueFd root = mount_root(container);
  for (const MountPlan& mount : container.mounts) make_mount(mount, container, root.get());
  make_devices(container, root.get());
  make_working_directory(plan.process.cwd, root.get());
  set_sysctls(container);
  set_names(container);
  if (container.agent_hooks) {
    agent.tell(Message::kRunHooks);
    agent.expect(Message::kGo);
  }
  run_hooks(container.create_container_hooks, "createContainer",
            container.hook_state_head + "creating" + container.hook_state_tail);
  pivot(root.get());
}

void finish_root(const ContainerPlan& plan) {
  for (const MountPlan& mount : plan.mounts) {
    if (mount.target == "/dev" && mount.fstype == "tmpfs" && (mount.flags & MS_RDONLY) != 0)
      set_readonly("/dev");
  }
  if (plan.rootfs_propagation != 0) kernel::set_propagation("/", plan.rootfs_propagation);
  if (plan.readonly_root) set_readonly("/");
  for (const std::string& path : plan.readonly_paths) make_path_readonly(path);
  if (plan.masked_paths.empty()) return;
  const UniqueFd null = open_null_device();
  for (const std::string& path : plan.masked_paths) mask_path(path, null.get());
}

}  // namespace kata::container
