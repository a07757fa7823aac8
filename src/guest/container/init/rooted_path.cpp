#include "guest/container/init/rooted_path.h"

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata::container {
namespace {

constexpr int kMaxLinks = 40;

int open_in(int root, const char* path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed while ".." was looked up.
  for (int tries = 0; tries < 32; ++tries) {
    const long fd = ::syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) return static_cast<int>(fd);
  }
  return -1;
}

std::deque<std::string> parts_of(std::string_view path) {
  std::deque<std::string> parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// Returns errno of the attempt, 0 when it was made.
int make(int directory, const std::string& name, RootedPath::Leaf leaf) {
  if (leaf == RootedPath::Leaf::kDirectory) return ::mkdirat(directory, name.c_str(), 0755) == 0 ? 0 : errno;
  constexpr int kNew = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW;
  const UniqueFd made(::openat(directory, name.c_str(), kNew, 0644));
  return made ? 0 : errno;
}

}  // namespace

std::string fd_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

UniqueFd RootedPath::open(const std::string& path, int flags) const {
  UniqueFd fd(open_in(root_, path.c_str(), flags));
  if (!fd) throw_errno("opening " + path + " in the container's root");
  return fd;
}

UniqueFd RootedPath::open_if_there(const std::string& path, int flags) const {
  UniqueFd fd(open_in(root_, path.c_str(), flags));
  if (!fd && errno != ENOENT && errno != ENOTDIR) throw_errno("opening " + path + " in the container's root");
  return fd;
}

UniqueFd RootedPath::ensure(const std::string& path, Leaf leaf) const {
  UniqueFd there(open_in(root_, path.empty() ? "/" : path.c_str(), O_PATH));
  if (there || errno != ENOENT) {
    if (!there) throw_errno("opening " + path + " in the container's root");
    return there;
  }
  std::deque<std::string> rest = parts_of(path);
  std::string done;
  int links = 0;
  UniqueFd directory = open("/", O_PATH | O_DIRECTORY);
  while (!rest.empty()) {
    const std::string name = rest.front();
    rest.pop_front();
    const std::string next = done + "/" + name;
    UniqueFd found(open_in(root_, next.c_str(), O_PATH));
    int failure = found ? 0 : errno;
    if (failure == ENOENT) {
      failure = make(directory.get(), name, rest.empty() ? leaf : Leaf::kDirectory);
      found.reset(open_in(root_, next.c_str(), O_PATH));
    }
    if (found) {
      directory = std::move(found);
      done = next;
      continue;
    }
    // A link to nowhere: go on with where it points to.
    std::array<char, PATH_MAX> target;
    const ssize_t n = ::readlinkat(directory.get(), name.c_str(), target.data(), target.size());
    if (n < 0 || ++links > kMaxLinks)
      throw Error::from_errno(n < 0 ? failure : ELOOP, "making " + path + " in the container's root");
    const std::string_view text(target.data(), static_cast<size_t>(n));
    const std::deque<std::string> through = parts_of(text);
    rest.insert(rest.begin(), through.begin(), through.end());
    if (text.starts_with('/')) {
      done.clear();
      directory = open("/", O_PATH | O_DIRECTORY);
    }
  }
  return directory;
}

RootedPath::Place RootedPath::ensure_parent(const std::string& path) const {
  const std::deque<std::string> parts = parts_of(path);
  if (parts.empty() || parts.back() == "..")
    throw Error(Code::kInvalidArgument, "path \"" + path + "\" names nothing");
  std::string trimmed = path;
  while (trimmed.ends_with('/')) trimmed.pop_back();
  return {.directory = ensure(parent_of(trimmed), Leaf::kDirectory), .name = parts.back()};
}

}  // namespace kata::container
