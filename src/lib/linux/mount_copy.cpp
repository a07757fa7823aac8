#include "lib/linux/mount_copy.h"

#include <cerrno>
#include <sys/mount.h>
#include <utility>

#include <fcntl.h>
#include <sched.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::kernel {
namespace {

UniqueFd& outer_mounts() {
  static UniqueFd fd;
  return fd;
}

UniqueFd try_copy(const std::string& source) {
  return UniqueFd(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
}

void enter(const UniqueFd& mount_namespace, const char* whose) {
  if (::setns(mount_namespace.get(), CLONE_NEWNS) != 0)
    throw_errno(std::string("entering the mount namespace of ") + whose);
}

}  // namespace

UniqueFd copy_mounts(const std::string& source) {
  UniqueFd copy = try_copy(source);
  if (!copy) throw_errno("copying the mount of " + source);
  return copy;
}

void attach_mounts(const UniqueFd& copy, const std::string& target, CopyAccess access) {
  mount_attr attributes{};
  attributes.propagation = MS_SLAVE;
  if (access == CopyAccess::kReadOnly) attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(copy.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0)
    throw_errno("setting the attributes of the mounts for " + target);
  if (::move_mount(copy.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    throw_errno("mounting on " + target);
}

void set_outer_mounts(UniqueFd mount_namespace) {
  outer_mounts() = std::move(mount_namespace);
}

UniqueFd copy_outer_mounts(const std::string& source) {
  if (!outer_mounts()) return copy_mounts(source);
  const UniqueFd own = open_file("/proc/self/ns/mnt", O_RDONLY);
  enter(outer_mounts(), "whoever started this process");
  UniqueFd copy = try_copy(source);
  const int error = copy ? 0 : errno;
  enter(own, "this process");
  if (copy) return copy;
  if (error == ENOENT) return copy_mounts(source);
  throw Error::from_errno(error, "copying the mount of " + source);
}

}  // namespace kata::kernel
