#include "guest/rpc/copy_file.h"

#include <cerrno>
#include <linux/openat2.h>
#include <memory>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/text/sha256.h"

namespace kata::rpc {
namespace {

[[noreturn]] void refuse(const std::string& field, const std::string& why) {
  throw Error(Code::kInvalidArgument, "copied file, " + field + ": " + why);
}

// Opens a path relative to `root` that no link can lead out of it.
UniqueFd open_beneath(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

// The path below the root, checked.
std::string relative_path(const std::string& root, const std::string& path) {
  const std::string prefix = root + "/";
  if (!path.starts_with(prefix) || path.size() == prefix.size())
    refuse("path", path.substr(0, 300) + " is not below " + root);
  std::string relative = path.substr(prefix.size());
  while (relative.ends_with('/')) relative.pop_back();
  const std::string bounded = "/" + relative + "/";
  if (bounded.find("/../") != std::string::npos || bounded.find("/./") != std::string::npos ||
      bounded.find("//") != std::string::npos || path.find('\0') != std::string::npos) {
    refuse("path", path.substr(0, 300) + " has parts that are empty, . or ..");
  }
  return relative;
}

// Opens the folder that holds `relative`, making what is missing. The direct parent gets the owner.
UniqueFd open_parent(int root, const std::string& relative, const CopyRequest& request) {
  const size_t end = relative.rfind('/');
  UniqueFd folder = open_beneath(root, ".", O_PATH | O_DIRECTORY);
  if (end == std::string::npos) return folder;
  for (size_t at = 0; at != std::string::npos && at < end;) {
    const size_t slash = relative.find('/', at);
    const std::string name = relative.substr(at, slash - at);
    if (::mkdirat(folder.get(), name.c_str(), request.directory_mode & 0777) != 0 && errno != EEXIST)
      throw_errno("making the folder " + relative.substr(0, slash));
    folder = open_beneath(root, relative.substr(0, slash), O_PATH | O_DIRECTORY);
    if (!folder) throw_errno("opening the folder " + relative.substr(0, slash));
    at = slash + 1;
  }
  if (::fchownat(folder.get(), "", static_cast<uid_t>(request.uid), static_cast<gid_t>(request.gid),
                 AT_EMPTY_PATH) != 0)
    throw_errno("changing the owner of " + relative.substr(0, end));
  return folder;
}

void remove_existing(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if ((errno == EISDIR || errno == EPERM) && ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) return;
  throw_errno("replacing " + name);
}

// Of this file alone and no name that a volume would have; a name that fills its 255 bytes has one, too.
std::string temporary_name(const std::string& name) {
  return ".copying-" + text::sha256_hex(name).substr(0, 16);
}

void set_owner(int parent, const std::string& name, const CopyRequest& request) {
  if (::fchownat(parent, name.c_str(), static_cast<uid_t>(request.uid), static_cast<gid_t>(request.gid),
                 AT_SYMLINK_NOFOLLOW) != 0) {
    throw_errno("changing the owner of " + request.path);
  }
}

void write_at(int fd, const CopyRequest& request) {
  size_t done = 0;
  while (done < request.data.size()) {
    const ssize_t n = ::pwrite(fd, request.data.data() + done, request.data.size() - done,
                               request.offset + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("writing " + request.path);
    done += static_cast<size_t>(n);
  }
}

void check_chunk(const CopyRequest& request) {
  const auto length = static_cast<int64_t>(request.data.size());
  if (request.file_size < 0) refuse("file_size", std::to_string(request.file_size) + " is negative");
  if (request.offset < 0) refuse("offset", std::to_string(request.offset) + " is negative");
  if (request.offset > request.file_size || length > request.file_size - request.offset)
    refuse("data", "goes beyond file_size " + std::to_string(request.file_size));
}

void make_way(int parent, const std::string& name) {
  struct stat info{};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
    remove_existing(parent, name);
}

void copy_chunk(int parent, const std::string& name, const CopyRequest& request) {
  check_chunk(request);
  const std::string temporary = temporary_name(name);
  if (request.offset == 0) make_way(parent, name);
  const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (request.offset == 0 ? O_TRUNC : 0);
  const UniqueFd file(::openat(parent, temporary.c_str(), flags, 0600));
  if (!file) throw_errno("opening " + temporary + " for " + request.path);
  write_at(file.get(), request);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) throw_errno("looking at " + temporary);
  if (info.st_size != request.file_size) return;
  set_owner(parent, temporary, request);
  // After the owner: a change of owner takes set-uid bits away.
  if (::fchmod(file.get(), request.file_mode & 07777) != 0)
    throw_errno("changing the mode of " + request.path);
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0)
    throw_errno("renaming onto " + request.path);
}

void copy_folder(int parent, const std::string& name, const CopyRequest& request) {
  if (::mkdirat(parent, name.c_str(), request.file_mode & 07777) != 0 && errno != EEXIST)
    throw_errno("making the folder " + request.path);
  const UniqueFd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw_errno("opening the folder " + request.path);
  set_owner(parent, name, request);
  if (::fchmod(folder.get(), request.file_mode & 07777) != 0)
    throw_errno("changing the mode of " + request.path);
}

void copy_link(int parent, const std::string& name, const CopyRequest& request) {
  if (request.data.empty() || request.data.find('\0') != std::string_view::npos)
    refuse("data", "is no target of a link");
  // Made beside and renamed: the path is the old or the new link, never missing.
  const std::string temporary = temporary_name(name);
  ::unlinkat(parent, temporary.c_str(), 0);
  make_way(parent, name);
  if (::symlinkat(std::string(request.data).c_str(), parent, temporary.c_str()) != 0)
    throw_errno("making the link " + request.path);
  set_owner(parent, temporary, request);
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0)
    throw_errno("renaming onto " + request.path);
}

// The entries of an open folder, and then the folder itself. Depth is bounded by the length of a path.
void remove_tree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) throw_errno("removing " + name);
  UniqueFd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw_errno("opening the folder " + name);
  const int descriptor = folder.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(descriptor), ::closedir);
  if (!entries) throw_errno("reading the folder " + name);
  static_cast<void>(folder.release());
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string child = entry->d_name;
    if (child != "." && child != "..") remove_tree(descriptor, child);
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) throw_errno("removing " + name);
}

}  // namespace

void copy_file(const std::string& root, const CopyRequest& request) {
  const std::string relative = relative_path(root, request.path);
  const UniqueFd top = open_file(root, O_PATH | O_DIRECTORY);
  const UniqueFd parent = open_parent(top.get(), relative, request);
  if (!parent) throw_errno("opening " + root);
  const std::string name = relative.substr(relative.rfind('/') + 1);
  switch (request.file_mode & S_IFMT) {
    case S_IFREG:
      return copy_chunk(parent.get(), name, request);
    case S_IFDIR:
      return copy_folder(parent.get(), name, request);
    case S_IFLNK:
      return copy_link(parent.get(), name, request);
    default:
      refuse("file_mode", "names no regular file, folder or symbolic link");
  }
}

void rewrite_file(const std::string& root, const CopyRequest& request) {
  const std::string relative = relative_path(root, request.path);
  check_chunk(request);
  const UniqueFd top = open_file(root, O_PATH | O_DIRECTORY);
  const UniqueFd file = open_beneath(top.get(), relative, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) throw_errno("opening " + request.path);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) throw_errno("looking at " + request.path);
  if (!S_ISREG(info.st_mode)) refuse("path", request.path.substr(0, 300) + " is no regular file");
  write_at(file.get(), request);
  if (request.offset + static_cast<int64_t>(request.data.size()) != request.file_size) return;
  if (::ftruncate(file.get(), request.file_size) != 0) throw_errno("cutting " + request.path);
  if (::fchown(file.get(), static_cast<uid_t>(request.uid), static_cast<gid_t>(request.gid)) != 0)
    throw_errno("changing the owner of " + request.path);
  if (::fchmod(file.get(), request.file_mode & 07777) != 0)
    throw_errno("changing the mode of " + request.path);
}

void remove_copied(const std::string& root, const std::string& path) {
  const std::string relative = relative_path(root, path);
  const UniqueFd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!top && errno == ENOENT) return;
  if (!top) throw_errno("opening " + root);
  const size_t slash = relative.rfind('/');
  const UniqueFd parent = open_beneath(
      top.get(), slash == std::string::npos ? "." : relative.substr(0, slash), O_PATH | O_DIRECTORY);
  if (!parent && (errno == ENOENT || errno == ENOTDIR)) return;
  if (!parent) throw_errno("opening the folder of " + path);
  const std::string name = relative.substr(slash + 1);
  with_context("removing " + path, [&] {
    remove_tree(parent.get(), name);
    // Of a file whose last chunk never came.
    remove_tree(parent.get(), temporary_name(name));
  });
}

}  // namespace kata::rpc
