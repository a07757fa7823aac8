#include "host/resource/share_fs/share_tree.h"

#include <cerrno>
#include <memory>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/linux/mount_copy.h"
#include "lib/log/log.h"

namespace kata::share_fs {
namespace {

void make_folder(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) throw_errno("making folder " + path);
}

void make_folders(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) throw_errno("making folder " + part);
    if (end == std::string::npos) return;
  }
}

// Removes an empty folder or an empty file. Not there is success; anything with content stays and is an
// error.
void remove_empty(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return;
    throw_errno("looking at " + path);
  }
  if (S_ISDIR(info.st_mode)) {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) throw_errno("removing folder " + path);
    return;
  }
  if (!S_ISREG(info.st_mode) || info.st_size != 0)
    throw Error(Code::kFailedPrecondition, "removing " + path + ": it is not a mount point of ours");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("removing " + path);
}

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), &::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

// Removes a tree of empty folders and files, `depth` levels deep; stops at the first thing with content.
void remove_empty_tree(const std::string& path, int depth) {
  struct stat info{};
  if (depth > 0 && ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    for (const std::string& name : entries(path)) {
      std::string child = path;
      child.append("/").append(name);
      remove_empty_tree(child, depth - 1);
    }
  }
  remove_empty(path);
}

}  // namespace

bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

ShareTree::ShareTree(std::string_view base, std::string_view sandbox_id)
    : root_(std::string(base) + "/" + std::string(sandbox_id)), rw_(root_ + "/rw"), ro_(root_ + "/ro") {
  if (!is_file_name(sandbox_id))
    throw Error(Code::kInvalidArgument, "sandbox id \"" + std::string(sandbox_id) + "\" is no file name");
}

void ShareTree::create() {
  const std::string base = root_.substr(0, root_.rfind('/'));
  // The last sandbox of another shim may be taking the base away just now.
  constexpr int kTries = 20;
  for (int i = 1;; ++i) {
    make_folders(base, 0711);
    if (::mkdir(root_.c_str(), 0700) == 0) break;
    if (errno != ENOENT || i == kTries) throw_errno("making folder " + root_);
  }
  make_folder(rw_, 0755);
  make_folder(ro_, 0755);
  make_folder(rw_ + "/passthrough", 0755);
  // A mount of its own that passes on what is mounted below it later, also to virtiofsd's own mount
  // namespace.
  kernel::bind_mount(rw_, rw_, kernel::BindDepth::kOne);
  kernel::set_propagation(rw_, MS_SHARED);
  kernel::bind_mount(rw_, ro_, kernel::BindDepth::kOne);
  kernel::set_propagation(ro_, MS_SLAVE);
  kernel::remount_readonly(ro_);
}

void ShareTree::bind(const std::string& source, const std::string& name, Access access, View view) const {
  const std::string target = host_path(name);
  const UniqueFd copy =
      view == View::kOuter ? kernel::copy_outer_mounts(source) : kernel::copy_mounts(source);
  struct stat info{};
  if (::fstat(copy.get(), &info) != 0) throw_errno("sharing " + source + " with the guest");
  if (S_ISSOCK(info.st_mode)) {
    log::warning(source +
                 " is a socket: the guest sees it and nobody there can connect to it, it is the node's");
  }
  const std::string parent = target.substr(0, target.rfind('/'));
  if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) throw_errno("making folder " + parent);
  if (S_ISDIR(info.st_mode)) {
    make_folder(target, 0755);
  } else {
    const UniqueFd file = open_file(target, O_WRONLY | O_CREAT | O_EXCL, 0644);
  }
  try {
    kernel::attach_mounts(
        copy, target,
        access == Access::kReadOnly ? kernel::CopyAccess::kReadOnly : kernel::CopyAccess::kAsSource);
  } catch (...) {
    unbind(name);
    throw;
  }
}

void ShareTree::unbind(const std::string& name) const {
  const std::string target = host_path(name);
  // Propagates to ro and to virtiofsd's copy.
  for (const std::string& point : kernel::mounts_below(target)) kernel::unmount_detach(point);
  remove_empty(target);
  const std::string parent = target.substr(0, target.rfind('/'));
  if (parent.size() > rw_.size() + std::string_view("/passthrough").size() && entries(parent).empty())
    remove_empty(parent);
}

void ShareTree::remove(Teardown& teardown) const {
  // The export first: it must not show what is taken away piece by piece.
  for (const std::string& path : {ro_, rw_}) {
    teardown.step("unmounting " + path, [&path] {
      for (const std::string& point : kernel::mounts_below(path)) kernel::unmount_detach(point);
    });
  }
  // rw/passthrough/<container>/<rootfs or a file> is the deepest that we make.
  teardown.step("removing " + root_, [this] { remove_empty_tree(root_, 4); });
  // The last one takes away what all sandboxes of the node have in common; it fails while there are others.
  const std::string base = root_.substr(0, root_.rfind('/'));
  const std::string above = base.substr(0, base.rfind('/'));
  if (::rmdir(base.c_str()) == 0 && above.ends_with("/kata-containers/shared")) ::rmdir(above.c_str());
}

std::string unique_name(std::string_view prefix, size_t digits, std::string_view path) {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number))
    throw_errno("getting a random number");
  constexpr std::string_view hex = "0123456789abcdef";
  std::string name = std::string(prefix) + "-";
  for (size_t i = 0; i < digits; ++i, number >>= 4U) name += hex[number & 15U];
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::string_view last = path.substr(path.rfind('/') + 1);
  // The whole must stay a file name.
  return (name + "-" + std::string(last.empty() ? "root" : last)).substr(0, 255);
}

void enter_private_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) throw_errno("making a mount namespace of our own");
  kernel::set_propagation("/", MS_SLAVE | MS_REC);
}

}  // namespace kata::share_fs
