#include "host/resource/network/netns.h"

#include <cerrno>
#include <sys/stat.h>

#include <fcntl.h>
#include <sched.h>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::network {

NetnsId netns_id(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw_errno("looking for the network namespace " + path);
  return {.device = info.st_dev, .inode = info.st_ino};
}

NetnsId own_netns_id() {
  return netns_id("/proc/self/ns/net");
}

bool enter_netns(const std::string& path, const std::optional<NetnsId>& expected) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (expected && (errno == ENOENT || errno == ENOTDIR || errno == ESRCH)) return false;
    throw_errno("opening the network namespace " + path);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) throw_errno("looking at the network namespace " + path);
  if (expected && *expected != NetnsId{.device = info.st_dev, .inode = info.st_ino}) return false;
  // EINVAL: a file that is no namespace.
  if (::setns(fd.get(), CLONE_NEWNET) != 0) throw_errno("entering the network namespace " + path);
  return true;
}

}  // namespace kata::network
