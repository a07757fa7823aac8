#include <array>
#include <cerrno>
#include <string_view>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/container/init/rooted_path.h"
#include "guest/container/init/stage.h"
#include "lib/error/error.h"

namespace kata::container {
namespace {

struct Link {
  std::string_view path, target;
};
constexpr auto kLinks = std::to_array<Link>({{"/dev/fd", "/proc/self/fd"},
                                             {"/dev/stdin", "/proc/self/fd/0"},
                                             {"/dev/stdout", "/proc/self/fd/1"},
                                             {"/dev/stderr", "/proc/self/fd/2"}});

// Without the right to make nodes (a user namespace) the guest's own node is bound in.
void bind_device(const DevicePlan& device, const RootedPath& root) {
  const UniqueFd tree(::open_tree(AT_FDCWD, device.path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) throw_errno("binding the device " + device.path);
  const UniqueFd place = root.ensure(device.path, RootedPath::Leaf::kFile);
  if (::move_mount(tree.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    throw_errno("binding the device " + device.path);
}

void make_device(const DevicePlan& device, const ContainerPlan& plan, const RootedPath& root) {
  if (plan.user_namespace) return bind_device(device, root);
  const auto [directory, name] = root.ensure_parent(device.path);
  const dev_t number = makedev(device.major, device.minor);
  if (::mknodat(directory.get(), name.c_str(), device.mode, number) != 0) {
    if (errno == EEXIST) return;
    throw_errno("making the device " + device.path);
  }
  if ((device.uid != 0 || device.gid != 0) &&
      ::fchownat(directory.get(), name.c_str(), device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw_errno("setting the owner of the device " + device.path);
}

void make_link(int directory, const char* name, const char* target) {
  if (::symlinkat(target, directory, name) != 0 && errno != EEXIST)
    throw_errno(std::string("making the link /dev/") + name);
}

// The agent's own /dev, bound in, is not touched.
bool dev_is_bound(const ContainerPlan& plan) {
  for (const MountPlan& mount : plan.mounts) {
    if (mount.target == "/dev" && (mount.flags & MS_BIND) != 0) return true;
  }
  return false;
}

}  // namespace

void make_devices(const ContainerPlan& plan, int root_fd) {
  if (dev_is_bound(plan)) return;
  const RootedPath root(root_fd);
  // Modes are meant as given.
  const mode_t mask = ::umask(0);
  for (const DevicePlan& device : plan.devices) make_device(device, plan, root);
  ::umask(mask);
  const UniqueFd dev = root.ensure("/dev", RootedPath::Leaf::kDirectory);
  for (const Link& link : kLinks) make_link(dev.get(), link.path.data() + 5, link.target.data());
  if (::faccessat(AT_FDCWD, "/proc/kcore", F_OK, 0) == 0) make_link(dev.get(), "core", "/proc/kcore");
  // The image may have a node there, which would be the guest's pty multiplexer.
  if (::unlinkat(dev.get(), "ptmx", 0) != 0 && errno != ENOENT) throw_errno("replacing /dev/ptmx");
  make_link(dev.get(), "ptmx", "pts/ptmx");
}

}  // namespace kata::container
