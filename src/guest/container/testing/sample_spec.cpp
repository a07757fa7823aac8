#include "guest/container/testing/sample_spec.h"

namespace kata::container {
namespace {

oci::Mount mount(const char* destination, const char* type, const char* source,
                 std::vector<std::string> options) {
  return {.destination = destination,
          .source = source,
          .type = type,
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

std::vector<oci::Mount> default_mounts() {
  return {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/run", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
  };
}

std::vector<std::string> default_capabilities() {
  return {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
          "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
          "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
          "CAP_KILL",    "CAP_AUDIT_WRITE"};
}

}  // namespace

LaunchSpec sample_spec(std::vector<std::string> args, const std::string& rootfs) {
  LaunchSpec launch;
  launch.rootfs = rootfs;
  oci::Process& process = launch.spec.process.emplace();
  process.args = std::move(args);
  process.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
  process.cwd = "/";
  process.no_new_privileges = true;
  const auto names = default_capabilities();
  process.capabilities = oci::Capabilities{
      .bounding = names, .effective = names, .inheritable = {}, .permitted = names, .ambient = {}};
  launch.spec.mounts = default_mounts();
  oci::Linux& config = launch.spec.linux_config.emplace();
  for (const char* type : {"pid", "ipc", "uts", "mount", "cgroup"})
    config.namespaces.push_back({.type = type, .path = {}});
  config.masked_paths = {"/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                         "/sys/firmware",       "/proc/scsi"};
  config.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  return launch;
}

}  // namespace kata::container
