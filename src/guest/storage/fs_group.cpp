// Storage.fs_group: a volume's files belong to a group that may use them (Kubernetes' fsGroup).
#include <algorithm>
#include <cerrno>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "guest/storage/mount_step.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::storage {
namespace {

// A tree that is deeper than this is not walked on: it could only be made to exhaust the stack.
constexpr int kMaxDepth = 512;

struct Change {
  gid_t gid;
  mode_t file_bits;
  mode_t directory_bits;
};

Change change_of(const FsGroup& group, const std::vector<std::string>& options) {
  const bool readonly = std::ranges::find(options, "ro") != options.end();
  const mode_t file_bits = readonly ? S_IRGRP : S_IRGRP | S_IWGRP;
  return {.gid = group.gid, .file_bits = file_bits, .directory_bits = file_bits | S_IXGRP | S_ISGID};
}

void change_one(int directory, const char* name, const struct stat& info, const Change& change,
                const std::string& where) {
  const bool is_directory = S_ISDIR(info.st_mode);
  const mode_t mode = (info.st_mode & 07777) | (is_directory ? change.directory_bits : change.file_bits);
  if (::fchownat(directory, name, static_cast<uid_t>(-1), change.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fchmodat(directory, name, mode, 0) != 0) {
    throw_errno("changing the group of " + where + "/" + name);
  }
}

void change_tree(const UniqueFd& directory, const Change& change, const std::string& where, int depth) {
  if (depth > kMaxDepth) throw Error(Code::kOutOfRange, "changing the group below " + where + ": too deep");
  DIR* const stream = ::fdopendir(::dup(directory.get()));
  if (stream == nullptr) throw_errno("reading " + where);
  struct Closer {
    DIR* stream;
    ~Closer() { ::closedir(stream); }
  } closer{stream};
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info{};
    if (::fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISLNK(info.st_mode)) continue;
    change_one(directory.get(), name.c_str(), info, change, where);
    if (!S_ISDIR(info.st_mode)) continue;
    const UniqueFd child(
        ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child) change_tree(child, change, where, depth + 1);
  }
}

}  // namespace

void apply_fs_group(const std::string& path, const FsGroup& group, const std::vector<std::string>& options) {
  const UniqueFd root = open_file(path, O_RDONLY | O_NOFOLLOW);
  struct stat info{};
  if (::fstat(root.get(), &info) != 0) throw_errno("looking at " + path);
  const Change change = change_of(group, options);
  const mode_t wanted = S_ISDIR(info.st_mode) ? change.directory_bits : change.file_bits;
  if (group.policy == FsGroup::Policy::kOnRootMismatch && info.st_gid == change.gid &&
      (info.st_mode & wanted) == wanted) {
    return;
  }
  if (::fchown(root.get(), static_cast<uid_t>(-1), change.gid) != 0 ||
      ::fchmod(root.get(), (info.st_mode & 07777) | wanted) != 0) {
    throw_errno("changing the group of " + path);
  }
  if (S_ISDIR(info.st_mode)) change_tree(root, change, path, 0);
}

}  // namespace kata::storage
