#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/container/init/copy_up.h"
#include "guest/container/init/rooted_path.h"
#include "guest/container/init/stage.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace kata::container {
namespace {

using Leaf = RootedPath::Leaf;

// mount(2) flags as the attributes of mount_setattr(2).
uint64_t attributes_of(uint64_t flags) {
  uint64_t attributes = 0;
  if ((flags & MS_RDONLY) != 0) attributes |= MOUNT_ATTR_RDONLY;
  if ((flags & MS_NOSUID) != 0) attributes |= MOUNT_ATTR_NOSUID;
  if ((flags & MS_NODEV) != 0) attributes |= MOUNT_ATTR_NODEV;
  if ((flags & MS_NOEXEC) != 0) attributes |= MOUNT_ATTR_NOEXEC;
  if ((flags & MS_NODIRATIME) != 0) attributes |= MOUNT_ATTR_NODIRATIME;
  if ((flags & MS_NOSYMFOLLOW) != 0) attributes |= MOUNT_ATTR_NOSYMFOLLOW;
  if ((flags & MS_NOATIME) != 0) attributes |= MOUNT_ATTR_NOATIME;
  if ((flags & MS_STRICTATIME) != 0) attributes |= MOUNT_ATTR_STRICTATIME;
  return attributes;
}

enum class Reach { kTop, kTree };

void set_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, Reach reach,
                    const std::string& what) {
  if (set == 0 && clear == 0 && propagation == 0) return;
  mount_attr attributes{.attr_set = set, .attr_clr = clear, .propagation = propagation, .userns_fd = 0};
  const unsigned flags = AT_EMPTY_PATH | (reach == Reach::kTree ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  if (::mount_setattr(mount, "", flags, &attributes, sizeof attributes) != 0)
    throw_errno("changing the attributes of the mount on " + what);
}

// The flags of a bind mount reach its top mount only; the r-words and propagation with MS_REC the whole tree.
void apply_bind_options(int tree, const MountPlan& mount) {
  constexpr uint64_t kTimes = MS_NOATIME | MS_STRICTATIME | MS_RELATIME;
  const uint64_t set = attributes_of(mount.flags);
  uint64_t clear = attributes_of(mount.cleared) & ~set;
  // The access time is a field: any word about it replaces the whole.
  clear &= ~static_cast<uint64_t>(MOUNT_ATTR__ATIME);
  if (((mount.flags | mount.cleared) & kTimes) != 0) clear |= MOUNT_ATTR__ATIME;
  set_attributes(tree, set, clear, 0, Reach::kTop, mount.target);
  set_attributes(tree, mount.recursive_set, mount.recursive_clear, 0, Reach::kTree, mount.target);
  const bool deep = (mount.propagation & MS_REC) != 0;
  set_attributes(tree, 0, 0, mount.propagation & ~static_cast<uint64_t>(MS_REC),
                 deep ? Reach::kTree : Reach::kTop, mount.target);
}

UniqueFd clone_tree(int directory, const std::string& path, unsigned flags, const std::string& target) {
  UniqueFd tree(::open_tree(directory, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
  if (!tree) throw_errno("bind-mounting " + (path.empty() ? "a descriptor" : path) + " on " + target);
  return tree;
}

void attach(int tree, int place, const std::string& target) {
  if (::move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    throw_errno("mounting on " + target);
}

Leaf kind_of(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) throw_errno("looking at the source of a bind mount");
  return S_ISDIR(info.st_mode) ? Leaf::kDirectory : Leaf::kFile;
}

UniqueFd source_tree(const MountPlan& mount, const std::string& source) {
  if (mount.tree_fd >= 0) return UniqueFd(mount.tree_fd);
  const unsigned recursive = (mount.flags & MS_REC) != 0 ? static_cast<unsigned>(AT_RECURSIVE) : 0U;
  return clone_tree(AT_FDCWD, source, recursive, mount.target);
}

// Not called `bind`: the arguments would bring std::bind in.
void make_bind(const MountPlan& mount, const std::string& source, const RootedPath& root) {
  const UniqueFd tree = source_tree(mount, source);
  apply_bind_options(tree.get(), mount);
  const UniqueFd place = root.ensure(mount.target, kind_of(tree.get()));
  attach(tree.get(), place.get(), mount.target);
}

// A tree of links at /proc would leave the paths to mask elsewhere than where they are masked.
void refuse_link(const MountPlan& mount, const RootedPath& root) {
  const UniqueFd fd = root.open_if_there(mount.target, O_PATH | O_NOFOLLOW);
  struct stat info{};
  if (fd && ::fstat(fd.get(), &info) == 0 && S_ISLNK(info.st_mode))
    throw Error(Code::kInvalidArgument,
                "mounting " + mount.fstype + " on " + mount.target + ": it is a symbolic link");
}

void after_mount(const MountPlan& mount, const RootedPath& root, uint64_t attributes) {
  if (mount.propagation == 0 && mount.recursive_set == 0 && mount.recursive_clear == 0 && attributes == 0)
    return;
  const UniqueFd top = root.open(mount.target, O_PATH);
  set_attributes(top.get(), attributes | mount.recursive_set, mount.recursive_clear, 0, Reach::kTop,
                 mount.target);
  set_attributes(top.get(), 0, 0, mount.propagation & ~static_cast<uint64_t>(MS_REC), Reach::kTop,
                 mount.target);
}

// Files of a fresh file system get the container's SELinux label. (Whether there is SELinux was checked by
// the agent.)
std::string data_of(const MountPlan& mount, const ContainerPlan& plan) {
  static constexpr std::array<std::string_view, 3> kWithoutLabel = {"proc", "sysfs", "mqueue"};
  const bool labelled =
      std::find(kWithoutLabel.begin(), kWithoutLabel.end(), mount.fstype) == kWithoutLabel.end();
  if (plan.mount_label.empty() || !labelled) return mount.data;
  return mount.data + (mount.data.empty() ? "" : ",") + "context=\"" + plan.mount_label + "\"";
}

// In a user namespace a sysfs or mqueue that belongs to namespaces of the agent cannot be mounted anew.
bool bind_instead(const MountPlan& mount, const RootedPath& root) {
  if (errno != EPERM || (mount.fstype != "sysfs" && mount.fstype != "mqueue")) return false;
  MountPlan part = mount;
  part.flags |= MS_BIND | MS_REC;
  part.data.clear();
  const char* source = mount.fstype == "sysfs" ? "/sys" : "/dev/mqueue";
  // The agent may have no mqueue: then the container sees an empty folder.
  if (::access(source, F_OK) == 0) make_bind(part, source, root);
  return true;
}

void mount_filesystem(const MountPlan& mount, const ContainerPlan& plan, const RootedPath& root) {
  if (mount.fstype == "proc" || mount.fstype == "sysfs") refuse_link(mount, root);
  const UniqueFd place = root.ensure(mount.target, Leaf::kDirectory);
  UniqueFd below;
  if (mount.tmpcopyup) below = root.open(mount.target, O_RDONLY | O_DIRECTORY);
  // A read-only tmpfs is filled first: by tmpcopyup, /dev by the device nodes (finish_root closes it).
  uint64_t flags = mount.flags;
  uint64_t later = 0;
  if (mount.fstype == "tmpfs" && (flags & MS_RDONLY) != 0) {
    flags &= ~static_cast<uint64_t>(MS_RDONLY);
    if (mount.target != "/dev") later = MOUNT_ATTR_RDONLY;
  }
  const std::string text = data_of(mount, plan);
  const char* data = text.empty() ? nullptr : text.c_str();
  if (::mount(mount.source.c_str(), fd_path(place.get()).c_str(), mount.fstype.c_str(), flags, data) != 0) {
    if (plan.user_namespace && bind_instead(mount, root)) return;
    throw_errno("mounting " + mount.source + " (" + mount.fstype + ") on " + mount.target);
  }
  if (below) copy_up(below.get(), root.open(mount.target, O_RDONLY | O_DIRECTORY).get(), mount.target);
  after_mount(mount, root, later);
}

void remount(const MountPlan& mount, const RootedPath& root) {
  const UniqueFd top = root.open(mount.target, O_PATH);
  const char* data = mount.data.empty() ? nullptr : mount.data.c_str();
  if (::mount(nullptr, fd_path(top.get()).c_str(), nullptr, mount.flags, data) != 0)
    throw_errno("remounting " + mount.target);
}

// The container sees its own cgroup as the root of each hierarchy: a bind mount of its folder shows that with
// and without a cgroup namespace.
void mount_cgroups(const MountPlan& mount, const ContainerPlan& plan, const RootedPath& root) {
  MountPlan part = mount;
  part.data.clear();
  part.flags |= MS_BIND | MS_REC;
  if (mount.cgroup == CgroupView::kUnified) {
    make_bind(part, plan.cgroup_folder, root);
    return;
  }
  MountPlan base = mount;
  base.fstype = base.source = "tmpfs";
  base.data = "mode=755";
  base.flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount_filesystem(base, plan, root);
  for (const auto& [controller, folder] : plan.cgroup_folders) {
    part.target = mount.target + "/" + controller;
    make_bind(part, folder, root);
  }
  if ((mount.flags & MS_RDONLY) != 0) {
    const UniqueFd top = root.open(mount.target, O_PATH);
    set_attributes(top.get(), MOUNT_ATTR_RDONLY, 0, 0, Reach::kTop, mount.target);
  }
}

}  // namespace

void make_mount(const MountPlan& mount, const ContainerPlan& plan, int root_fd) {
  const RootedPath root(root_fd);
  if (mount.cgroup != CgroupView::kNone) {
    mount_cgroups(mount, plan, root);
  } else if ((mount.flags & MS_REMOUNT) != 0) {
    remount(mount, root);
  } else if ((mount.flags & MS_BIND) != 0) {
    make_bind(mount, mount.source, root);
  } else {
    mount_filesystem(mount, plan, root);
  }
}

void mask_path(const std::string& path, int null_device) {
  const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    throw_errno("masking " + path);
  }
  if (kind_of(place.get()) == Leaf::kFile) {
    const UniqueFd tree = clone_tree(null_device, "", AT_EMPTY_PATH, path);
    attach(tree.get(), place.get(), path);
    return;
  }
  constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::fchdir(place.get()) != 0 || ::mount("tmpfs", ".", "tmpfs", kFlags, "nr_blocks=1,nr_inodes=1") != 0 ||
      ::chdir("/") != 0) {
    throw_errno("masking " + path);
  }
}

void make_path_readonly(const std::string& path) {
  const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    throw_errno("making " + path + " read-only");
  }
  const UniqueFd tree = clone_tree(place.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, path);
  set_attributes(tree.get(), MOUNT_ATTR_RDONLY, 0, 0, Reach::kTree, path);
  attach(tree.get(), place.get(), path);
}

}  // namespace kata::container
