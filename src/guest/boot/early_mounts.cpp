#include "guest/boot/early_mounts.h"

#include <cerrno>
#include <cstring>
#include <linux/magic.h>
#include <net/if.h>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <vector>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/controllers.h"
#include "lib/log/log.h"

namespace kata::boot {
namespace {

constexpr unsigned long kSafe = MS_NOSUID | MS_NODEV | MS_NOEXEC;

struct EarlyMount {
  const char* source;
  const char* target;
  const char* fstype;
  unsigned long flags;
  const char* data;
};

constexpr EarlyMount kKernel[] = {
    {"proc", "/proc", "proc", kSafe, ""},
    {"sysfs", "/sys", "sysfs", kSafe, ""},
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
};

constexpr EarlyMount kWorking[] = {
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
};

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) throw_errno("making " + path);
}

bool is_mount_point(const std::string& path) {
  struct stat self{};
  struct stat parent{};
  return ::stat(path.c_str(), &self) == 0 && ::stat((path + "/..").c_str(), &parent) == 0 &&
         self.st_dev != parent.st_dev;
}

void mount_early(const EarlyMount& entry) {
  make_directory(entry.target);
  if (is_mount_point(entry.target)) return;
  if (::mount(entry.source, entry.target, entry.fstype, entry.flags, entry.data) != 0 && errno != EBUSY)
    throw_errno(std::string("mounting ") + entry.fstype + " on " + entry.target);
}

// What a guest can do without: its failure is a warning.
void mount_optional(const EarlyMount& entry) {
  try {
    mount_early(entry);
  } catch (const Error& error) {
    log::warning("early mount left out", {{"error", error.message()}});
  }
}

void link(const char* target, const char* path) {
  if (::symlink(target, path) != 0 && errno != EEXIST) log::warning("link left out", {{"path", path}});
}

// The names of the v1 controllers that the kernel has and that are switched on.
std::vector<std::string> legacy_controllers() {
  std::vector<std::string> names;
  const std::string table = read_file("/proc/cgroups", 65536);
  size_t at = 0;
  while (at < table.size()) {
    size_t end = table.find('\n', at);
    if (end == std::string::npos) end = table.size();
    const std::string_view line = std::string_view(table).substr(at, end - at);
    at = end + 1;
    if (line.starts_with('#') || line.empty() || !line.ends_with('1')) continue;
    names.emplace_back(line.substr(0, line.find('\t')));
  }
  return names;
}

void mount_legacy_cgroups(CgroupLayout layout) {
  mount_optional({"tmpfs", "/sys/fs/cgroup", "tmpfs", kSafe, "mode=0755"});
  for (const std::string& name : legacy_controllers()) {
    const std::string target = "/sys/fs/cgroup/" + name;
    mount_optional({"cgroup", target.c_str(), "cgroup", kSafe, name.c_str()});
    // Without it a cgroup would not count what its children use.
    if (name == "memory" && ::access((target + "/memory.use_hierarchy").c_str(), W_OK) == 0)
      write_existing(target + "/memory.use_hierarchy", "1");
  }
  mount_optional({"cgroup", "/sys/fs/cgroup/systemd", "cgroup", kSafe, "none,name=systemd"});
  if (layout == CgroupLayout::kHybrid)
    mount_optional({"cgroup2", "/sys/fs/cgroup/unified", "cgroup2", kSafe, "nsdelegate"});
}

}  // namespace

void leave_initramfs() {
  struct statfs info{};
  if (::statfs("/", &info) != 0 || (info.f_type != RAMFS_MAGIC && info.f_type != TMPFS_MAGIC)) return;
  make_directory("/mnt");
  if (::mount("/", "/mnt", nullptr, MS_BIND, nullptr) != 0) throw_errno("binding the initramfs to /mnt");
  if (::chdir("/mnt") != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0 ||
      ::chdir("/") != 0) {
    throw_errno("moving the root onto the initramfs");
  }
}

void mount_kernel_filesystems() {
  for (const EarlyMount& entry : kKernel) mount_early(entry);
}

void mount_working_filesystems(CgroupLayout layout) {
  for (const EarlyMount& entry : kWorking) mount_early(entry);
  mount_optional({"mqueue", "/dev/mqueue", "mqueue", kSafe, ""});
  link("/proc/self/fd", "/dev/fd");
  link("/proc/self/fd/0", "/dev/stdin");
  link("/proc/self/fd/1", "/dev/stdout");
  link("/proc/self/fd/2", "/dev/stderr");
  link("pts/ptmx", "/dev/ptmx");
  link("/run", "/var/run");
  if (layout != CgroupLayout::kUnified) {
    mount_legacy_cgroups(layout);
    return;
  }
  mount_early({"cgroup2", "/sys/fs/cgroup", "cgroup2", kSafe, "nsdelegate"});
  kernel::delegate_controllers("/sys/fs/cgroup", [](std::string_view name, const Error& error) {
    log::warning("cgroup controller not delegated",
                 {{"controller", std::string(name)}, {"error", error.message()}});
  });
}

void bring_loopback_up() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("opening a socket for the loopback interface");
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) throw_errno("reading the flags of lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) throw_errno("setting lo up");
}

}  // namespace kata::boot
