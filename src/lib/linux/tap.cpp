#include "lib/linux/tap.h"

#include <cstdio>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <sched.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::kernel {
namespace {

short queue_flags(size_t queues) {
  const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
  return static_cast<short>(flags);
}

void attach(int fd, const std::string& name, size_t queues, const std::string& tried) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = queue_flags(queues);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) throw_errno(tried);
}

// The device number in "246:3\n".
dev_t read_device(const std::string& path) {
  unsigned major = 0, minor = 0;
  if (std::sscanf(read_file(path, 64).c_str(), "%u:%u", &major, &minor) != 2)
    throw Error(Code::kInternal, path + " holds no device number");
  return makedev(major, minor);
}

// A mount namespace of its own for the calling thread, with this network namespace's sysfs on /sys and an
// empty file system on /dev.
void enter_private_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) throw_errno("making a mount namespace");
  if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw_errno("making mounts private");
  if (::mount("sysfs", "/sys", "sysfs", 0, nullptr) != 0) throw_errno("mounting sysfs of the namespace");
  if (::mount("tmpfs", "/dev", "tmpfs", 0, "mode=0700,size=4k") != 0) throw_errno("mounting an empty /dev");
}

}  // namespace

std::vector<UniqueFd> open_tap(const std::string& name, size_t queues) {
  if (name.size() >= IFNAMSIZ) throw Error(Code::kInvalidArgument, "\"" + name + "\" is too long for a link");
  std::vector<UniqueFd> fds;
  for (size_t i = 0; i < queues; ++i) {
    fds.push_back(open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
    attach(fds.back().get(), name, queues, "opening tap " + name);
  }
  return fds;
}

std::vector<UniqueFd> open_macvtap(const std::string& name, int index, size_t queues) {
  enter_private_mounts();
  const std::string tap = "tap" + std::to_string(index);
  const dev_t device = read_device("/sys/class/net/" + name + "/" + tap + "/dev");
  const std::string node = "/dev/" + tap;
  if (::mknod(node.c_str(), S_IFCHR | 0600, device) != 0) throw_errno("making the node of macvtap " + name);
  std::vector<UniqueFd> fds;
  for (size_t i = 0; i < queues; ++i) {
    fds.push_back(open_file(node, O_RDWR | O_NONBLOCK));
    attach(fds.back().get(), name, queues, "opening macvtap " + name);
  }
  return fds;
}

std::vector<UniqueFd> open_vhost_net(size_t count) {
  std::vector<UniqueFd> fds;
  for (size_t i = 0; i < count; ++i) {
    UniqueFd fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
    if (!fd) return {};
    fds.push_back(std::move(fd));
  }
  return fds;
}

}  // namespace kata::kernel
