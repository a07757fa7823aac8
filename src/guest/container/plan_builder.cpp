#include "guest/container/plan_builder.h"

#include <algorithm>
#include <array>
#include <sys/mount.h>
#include <sys/stat.h>

#include <sched.h>
#include <unistd.h>

#include "guest/container/mount_plan.h"
#include "guest/container/names.h"
#include "guest/container/process_plan.h"
#include "lib/error/error.h"

namespace kata::container {
namespace {

struct DefaultDevice {
  const char* path;
  uint32_t major, minor;
};
constexpr auto kDefaultDevices = std::to_array<DefaultDevice>({{"/dev/null", 1, 3},
                                                               {"/dev/zero", 1, 5},
                                                               {"/dev/full", 1, 7},
                                                               {"/dev/random", 1, 8},
                                                               {"/dev/urandom", 1, 9},
                                                               {"/dev/tty", 5, 0}});

uint32_t device_kind(const oci::Device& device) {
  if (device.type == "c" || device.type == "u") return S_IFCHR;
  if (device.type == "b") return S_IFBLK;
  if (device.type == "p") return S_IFIFO;
  throw Error(Code::kInvalidArgument,
              "linux.devices: " + device.path + " has unknown type \"" + device.type + "\"");
}

// Without a mode in the spec: that of the guest's own node, as the agent's contract has it.
uint32_t device_mode(const oci::Device& device) {
  if (device.file_mode.value_or(0) != 0) return *device.file_mode & 07777;
  struct stat info{};
  if (::stat(device.path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)))
    return info.st_mode & 07777;
  return 0666;
}

void check_absolute(const std::string& path, std::string_view field) {
  if (!path.starts_with('/'))
    throw Error(Code::kInvalidArgument, std::string(field) + ": \"" + path + "\" is not an absolute path");
}

std::vector<DevicePlan> plan_devices(const oci::Linux& config) {
  std::vector<DevicePlan> devices;
  for (const oci::Device& device : config.devices) {
    check_absolute(device.path, "linux.devices.path");
    if (device.major < 0 || device.minor < 0 || device.major > 0xfff || device.minor > 0xfffff)
      throw Error(Code::kInvalidArgument, "linux.devices: " + device.path + " has an impossible number");
    devices.push_back({.path = device.path,
                       .mode = device_kind(device) | device_mode(device),
                       .major = static_cast<uint32_t>(device.major),
                       .minor = static_cast<uint32_t>(device.minor),
                       .uid = device.uid.value_or(0),
                       .gid = device.gid.value_or(0)});
  }
  for (const DefaultDevice& standard : kDefaultDevices) {
    const bool listed = std::any_of(devices.begin(), devices.end(),
                                    [&](const DevicePlan& device) { return device.path == standard.path; });
    if (!listed)
      devices.push_back(
          {.path = standard.path, .mode = S_IFCHR | 0666, .major = standard.major, .minor = standard.minor});
  }
  return devices;
}

// A key of sysctl(8) as a path below /proc/sys. "/" and "." are both separators; with a "/" first, dots stay.
std::string sysctl_path(const std::string& key) {
  std::string path = key;
  const size_t separator = path.find_first_of("./");
  if (separator != std::string::npos && path[separator] == '.') {
    for (char& c : path) c = c == '.' ? '/' : (c == '/' ? '.' : c);
  }
  if (path.empty() || path.starts_with('/') || ("/" + path + "/").find("/../") != std::string::npos)
    throw Error(Code::kInvalidArgument, "linux.sysctl: key \"" + key + "\" is not understood");
  return path;
}

void plan_namespaces(const oci::Linux& config, PlannedContainer& planned) {
  // The mounts of a container are always its own.
  planned.clone_flags = CLONE_NEWNS;
  uint64_t seen = 0;
  for (const oci::Namespace& entry : config.namespaces) {
    const uint64_t kind = namespace_flag(entry.type);
    if ((seen & kind) != 0)
      throw Error(Code::kInvalidArgument, "linux.namespaces: " + entry.type + " is listed twice");
    seen |= kind;
    if (!entry.path.empty()) {
      check_absolute(entry.path, "linux.namespaces.path");
      if (kind == CLONE_NEWPID) {
        planned.pid_namespace = entry.path;
      } else if (kind == CLONE_NEWNS) {
        throw Error(Code::kInvalidArgument, "linux.namespaces: a mount namespace cannot be joined");
      } else {
        planned.plan.joins.push_back({.kind = kind, .path = entry.path});
      }
    } else if (kind == CLONE_NEWCGROUP || kind == namespace_flag("time")) {
      // Seen from where the stage is once it runs.
      planned.plan.unshare |= kind;
    } else if (kind != CLONE_NEWNET) {
      planned.clone_flags |= kind;
    }
  }
  if (!config.time_offsets.empty() && (planned.plan.unshare & namespace_flag("time")) == 0)
    throw Error(Code::kInvalidArgument, "linux.timeOffsets needs a new time namespace in linux.namespaces");
}

std::string time_offsets(const oci::Linux& config) {
  std::string text;
  for (const auto& [clock, offset] : config.time_offsets) {
    if (clock != "monotonic" && clock != "boottime")
      throw Error(Code::kInvalidArgument, "linux.timeOffsets: unknown clock \"" + clock + "\"");
    text += clock + " " + std::to_string(offset.secs) + " " + std::to_string(offset.nanosecs) + "\n";
  }
  return text;
}

void append_json(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string state_tail(const LaunchSpec& launch, pid_t pid) {
  std::string text = "\",\"pid\":" + std::to_string(pid) + ",\"bundle\":";
  append_json(text, launch.bundle);
  text += ",\"annotations\":{";
  bool first = true;
  for (const auto& [key, value] : launch.spec.annotations) {
    if (!first) text += ',';
    first = false;
    append_json(text, key);
    text += ':';
    append_json(text, value);
  }
  return text + "}}";
}

std::string state_head(const LaunchSpec& launch) {
  std::string text = "{\"ociVersion\":";
  append_json(text, launch.spec.version.empty() ? "1.0.2" : launch.spec.version);
  text += ",\"id\":";
  append_json(text, launch.id);
  return text + ",\"status\":\"";
}

void plan_cgroups(const std::map<std::string, std::string>& folders, ContainerPlan& plan) {
  for (const auto& [controller, folder] : folders) {
    if (controller.empty()) {
      plan.cgroup_folder = folder;
    } else {
      plan.cgroup_folders.emplace_back(controller, folder);
    }
  }
}

// What only a guest kernel with the matching part could do is refused by its name.
void check_kernel_parts(const oci::Linux& config) {
  if (!config.mount_label.empty() && ::access("/sys/fs/selinux/enforce", F_OK) != 0)
    throw Error(Code::kFailedPrecondition,
                "linux.mountLabel " + config.mount_label + ": the guest kernel has no SELinux");
  if (config.intel_rdt && ::access("/sys/fs/resctrl/schemata", F_OK) != 0)
    throw Error(Code::kFailedPrecondition, "linux.intelRdt: the guest has no resctrl file system");
  if (config.intel_rdt) throw Error(Code::kUnimplemented, "linux.intelRdt is not supported in the guest");
}

void plan_paths(const oci::Linux& config, ContainerPlan& plan) {
  for (const std::string& path : config.masked_paths) check_absolute(path, "linux.maskedPaths");
  for (const std::string& path : config.readonly_paths) check_absolute(path, "linux.readonlyPaths");
  plan.masked_paths = config.masked_paths;
  plan.readonly_paths = config.readonly_paths;
  for (const auto& [key, value] : config.sysctl) plan.sysctl.emplace_back(sysctl_path(key), value);
}

}  // namespace

PlannedContainer plan_container(const LaunchSpec& launch,
                                const std::map<std::string, std::string>& cgroup_folders) {
  const oci::Spec& spec = launch.spec;
  if (!spec.process) throw Error(Code::kInvalidArgument, "the spec has no process");
  check_absolute(launch.rootfs, "the root file system");
  static const oci::Linux kNothing;
  const oci::Linux& config = spec.linux_config ? *spec.linux_config : kNothing;
  check_kernel_parts(config);
  PlannedContainer planned;
  plan_namespaces(config, planned);
  ContainerPlan& plan = planned.plan.container.emplace();
  plan.rootfs = launch.rootfs;
  plan.rootfs_propagation = propagation_flags(config.rootfs_propagation);
  plan.readonly_root = spec.root && spec.root->readonly;
  plan.user_namespace = (planned.clone_flags & CLONE_NEWUSER) != 0;
  plan_cgroups(cgroup_folders, plan);
  plan.mounts = plan_mounts(spec.mounts, !plan.cgroup_folder.empty());
  plan.devices = plan_devices(config);
  plan_paths(config, plan);
  plan.hostname = spec.hostname;
  plan.domainname = spec.domainname;
  plan.mount_label = config.mount_label;
  plan.time_offsets = time_offsets(config);
  plan.create_container_hooks = spec.hooks.create_container;
  plan.start_container_hooks = spec.hooks.start_container;
  plan.agent_hooks = !spec.hooks.prestart.empty() || !spec.hooks.create_runtime.empty();
  plan.hook_state_head = state_head(launch);
  // Hooks inside of the container know its first process as 1.
  plan.hook_state_tail = state_tail(launch, 1);
  planned.plan.process = plan_process(*spec.process, config);
  return planned;
}

InitPlan plan_exec(const oci::Spec& container, const oci::Process& process) {
  static const oci::Linux kNothing;
  const oci::Linux& config = container.linux_config ? *container.linux_config : kNothing;
  InitPlan plan;
  plan.process = plan_process(process, config);
  if (!plan.process.capabilities && container.process && container.process->capabilities)
    plan.process.capabilities = plan_capabilities(*container.process->capabilities);
  plan.join_of_init =
      CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWPID;
  for (const oci::Namespace& entry : config.namespaces) {
    const uint64_t kind = namespace_flag(entry.type);
    if (kind == CLONE_NEWUSER || kind == namespace_flag("time")) plan.join_of_init |= kind;
  }
  return plan;
}

std::string hook_state(const LaunchSpec& launch, std::string_view status, pid_t pid) {
  return state_head(launch) + std::string(status) + state_tail(launch, pid);
}

}  // namespace kata::container
