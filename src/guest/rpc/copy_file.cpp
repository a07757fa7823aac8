#include "guest/rpc/copy_file.h"

#include <cerrno>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"

namespace kata::rpc {
namespace {

[[noreturn]] void refuse(const std::string& field, const std::string& why) {
  throw Error(Code::kInvalidArgument, "CopyFile " + field + ": " + why);
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

// The extension replaced by "tmp"; a leading dot starts none.
std::string temporary_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  return (dot == std::string::npos || dot == 0 ? name : name.substr(0, dot)) + ".tmp";
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

void copy_chunk(int parent, const std::string& name, const CopyRequest& request) {
  const auto length = static_cast<int64_t>(request.data.size());
  if (request.file_size < 0) refuse("file_size", std::to_string(request.file_size) + " is negative");
  if (request.offset < 0) refuse("offset", std::to_string(request.offset) + " is negative");
  if (request.offset > request.file_size || length > request.file_size - request.offset)
    refuse("data", "goes beyond file_size " + std::to_string(request.file_size));
  std::string temporary = temporary_name(name);
  if (temporary == name) temporary += ".part";
  if (request.offset == 0) remove_existing(parent, name);
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
  const std::string temporary = name + ".link-tmp";
  ::unlinkat(parent, temporary.c_str(), 0);
  struct stat info{};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
    remove_existing(parent, name);
  if (::symlinkat(std::string(request.data).c_str(), parent, temporary.c_str()) != 0)
    throw_errno("making the link " + request.path);
  set_owner(parent, temporary, request);
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0)
    throw_errno("renaming onto " + request.path);
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

}  // namespace kata::rpc
