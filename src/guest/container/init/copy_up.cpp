#include "guest/container/init/copy_up.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::container {
namespace {

constexpr int kMaxDepth = 64;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

void copy_directory(int from, int to, const std::string& what, int depth);

void copy_file(int from, int to, const char* name, const std::string& what) {
  const UniqueFd in(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  const UniqueFd out(::openat(to, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!in || !out) throw_errno("copying " + what + "/" + name);
  ssize_t n = 0;
  do {
    n = ::sendfile(out.get(), in.get(), nullptr, size_t{1} << 20);
  } while (n > 0 || (n < 0 && errno == EINTR));
  if (n < 0) throw_errno("copying " + what + "/" + name);
}

void copy_link(int from, int to, const char* name, const std::string& what) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = ::readlinkat(from, name, target.data(), target.size() - 1);
  if (n < 0 || ::symlinkat(target.data(), to, name) != 0) throw_errno("copying " + what + "/" + name);
}

void copy_subdirectory(int from, int to, const char* name, const std::string& what, int depth) {
  if (depth >= kMaxDepth) throw Error(Code::kResourceExhausted, "copying " + what + ": nested too deep");
  if (::mkdirat(to, name, 0700) != 0) throw_errno("copying " + what + "/" + name);
  const UniqueFd in(::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const UniqueFd out(::openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!in || !out) throw_errno("copying " + what + "/" + name);
  copy_directory(in.get(), out.get(), what + "/" + name, depth + 1);
}

void copy_attributes(int to, const char* name, const struct stat& info) {
  [[maybe_unused]] int ignored = ::fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW);
  // After the owner: chown takes setuid bits away.
  if (!S_ISLNK(info.st_mode)) ignored = ::fchmodat(to, name, info.st_mode & 07777, 0);
  const std::array<timespec, 2> times = {info.st_atim, info.st_mtim};
  ignored = ::utimensat(to, name, times.data(), AT_SYMLINK_NOFOLLOW);
}

void copy_entry(int from, int to, const char* name, const std::string& what, int depth) {
  struct stat info{};
  if (::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("copying " + what + "/" + name);
  if (S_ISREG(info.st_mode)) {
    copy_file(from, to, name, what);
  } else if (S_ISDIR(info.st_mode)) {
    copy_subdirectory(from, to, name, what, depth);
  } else if (S_ISLNK(info.st_mode)) {
    copy_link(from, to, name, what);
  } else if (::mknodat(to, name, info.st_mode, info.st_rdev) != 0) {
    throw_errno("copying " + what + "/" + name);
  }
  copy_attributes(to, name, info);
}

void copy_directory(int from, int to, const std::string& what, int depth) {
  const int again = ::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDirectory> directory(again < 0 ? nullptr : ::fdopendir(again));
  if (!directory) throw_errno("reading " + what);
  while (const dirent* entry = ::readdir(directory.get())) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    copy_entry(from, to, entry->d_name, what, depth);
  }
}

}  // namespace

void copy_up(int from, int to, const std::string& what) {
  copy_directory(from, to, what, 0);
}

}  // namespace kata::container
