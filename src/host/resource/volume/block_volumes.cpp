#include "host/resource/volume/block_volumes.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <sys/stat.h>

#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::volume {
namespace {

bool has_option(const oci::Mount& mount, std::string_view option) {
  return std::ranges::find(mount.options, option) != mount.options.end();
}

bool is_bind(const oci::Mount& mount) {
  return mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
}

bool is_file(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool is_disk_type(std::string_view type) {
  constexpr std::array<std::string_view, 7> kTypes = {"ext2",  "ext3",  "ext4",    "xfs",
                                                      "btrfs", "erofs", "squashfs"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

// "" = the type that the disk has.
bool is_disk(const oci::Mount& mount) {
  if (!is_bind(mount) && !is_disk_type(mount.type)) return false;
  return device::is_block_node(mount.source) || (has_option(mount, "loop") && is_file(mount.source));
}

bool is_raw(const oci::Mount& mount) {
  return is_bind(mount) && mount.destination.starts_with("/dev/");
}

// What of the mount's options is for the file system: a bind mount's are for the bind mount.
std::vector<std::string> storage_options(const oci::Mount& mount, bool readonly, const std::string& type) {
  std::vector<std::string> options;
  if (!is_bind(mount)) {
    for (const std::string& option : mount.options) {
      if (option != "loop" && option != "ro" && option != "rw") options.push_back(option);
    }
  }
  if (readonly) options.emplace_back("ro");
  if (type == "xfs" && std::ranges::find(options, "nouuid") == options.end()) options.emplace_back("nouuid");
  return options;
}

void claim_mount(const oci::Mount& mount, size_t index, device::DiskManager& disks,
                 device::ContainerDisks& to) {
  const auto access = has_option(mount, "ro") ? device::Access::kReadOnly : device::Access::kReadWrite;
  const bool raw = is_raw(mount);
  std::string type = is_bind(mount) ? "" : mount.type;
  const std::string id = disks.claim(mount.source, access, raw ? nullptr : &type);
  to.claimed.push_back(id);
  agent::Storage storage;
  storage.fstype = raw ? "bind" : type;
  storage.mount_point = device::kGuestDiskFolder + id + (raw ? "-node" : "");
  storage.options = raw ? std::vector<std::string>{} : storage_options(mount, disks.is_readonly(id), type);
  to.mounts.push_back({.index = index, .path = storage.mount_point});
  to.storages.push_back({.disk = id, .storage = std::move(storage)});
}

bool is_exact(const oci::DeviceCgroupRule& rule, const oci::Device& node) {
  return rule.allow && rule.major == node.major && rule.minor == node.minor &&
         (rule.type.empty() || rule.type == "a" || rule.type == "b");
}

bool is_for_everything(const oci::DeviceCgroupRule& rule) {
  return rule.allow && !rule.major && !rule.minor && (rule.type.empty() || rule.type == "a");
}

void claim_node(const oci::Spec& spec, const oci::Device& node, device::DiskManager& disks,
                device::ContainerDisks& to) {
  const NodeAccess wanted = node_access(spec, node);
  const std::string source =
      device::node_of(static_cast<unsigned>(node.major), static_cast<unsigned>(node.minor));
  if (wanted == NodeAccess::kUnmentioned) {
    log::debug("a privileged container's block device is left out", {{"device", node.path}});
    return;
  }
  if (source.empty())
    throw Error(Code::kNotFound,
                "there is no block device " + std::to_string(node.major) + ":" + std::to_string(node.minor));
  const bool readonly = wanted == NodeAccess::kReadOnly;
  const std::string id =
      disks.claim(source, readonly ? device::Access::kReadOnly : device::Access::kReadWrite);
  to.claimed.push_back(id);
  if (readonly && !disks.is_readonly(id)) {
    throw Error(Code::kFailedPrecondition,
                "disk " + source +
                    " is attached for writing to another container of the pod: it cannot be read-only here");
  }
  to.nodes.push_back({.disk = id, .path = node.path});
}

}  // namespace

NodeAccess node_access(const oci::Spec& spec, const oci::Device& node) {
  NodeAccess access = NodeAccess::kReadWrite;
  if (!spec.linux_config || !spec.linux_config->resources) return access;
  for (const oci::DeviceCgroupRule& rule : spec.linux_config->resources->devices) {
    if (is_exact(rule, node)) {
      return rule.access.find('w') == std::string::npos ? NodeAccess::kReadOnly : NodeAccess::kReadWrite;
    }
    if (is_for_everything(rule)) access = NodeAccess::kUnmentioned;
  }
  return access;
}

void claim_block_volumes(const oci::Spec& spec, device::DiskManager& disks, device::ContainerDisks& to) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const oci::Mount& mount = spec.mounts[i];
    if (!is_disk(mount)) continue;
    with_context("mount " + mount.destination, [&] { claim_mount(mount, i, disks, to); });
  }
  if (!spec.linux_config) return;
  for (const oci::Device& node : spec.linux_config->devices) {
    if (node.type != "b") continue;
    with_context("device " + node.path, [&] { claim_node(spec, node, disks, to); });
  }
}

}  // namespace kata::volume
