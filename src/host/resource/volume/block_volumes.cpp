#include "host/resource/volume/block_volumes.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <sys/stat.h>

#include "host/resource/volume/bind_volumes.h"
#include "host/resource/volume/empty_dir.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/text/base64url.h"

namespace kata::volume {
namespace {

bool is_disk_type(std::string_view type) {
  constexpr std::array<std::string_view, 7> kTypes = {"ext2",  "ext3",  "ext4",    "xfs",
                                                      "btrfs", "erofs", "squashfs"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

// "" = the type that the disk has.
bool is_disk(const oci::Mount& mount) {
  if (!is_bind(mount) && !is_disk_type(mount.type)) return false;
  if (device::is_block_node(mount.source)) return true;
  // What is to be a disk and is none is said here, by name, rather than by the guest's mount.
  return has_option(mount, "loop") && (!is_bind(mount) || device::is_regular_file(mount.source));
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

bool is_direct_type(const oci::Mount& mount) {
  constexpr std::array<std::string_view, 5> kTypes = {"bind", "directvol", "vfiovol", "spdkvol", "spoolvol"};
  return std::ranges::find(kTypes, mount.type) != kTypes.end();
}

void claim_direct(const oci::Mount& mount, size_t index, const DirectVolume& volume, const VolumeRules& rules,
                  device::DiskManager& disks, device::ContainerDisks& to) {
  const auto access = has_option(mount, "ro") ? device::Access::kReadOnly : device::Access::kReadWrite;
  std::string type = volume.fstype;
  const std::string id = disks.claim(volume.device, access, &type);
  to.claimed.push_back(id);
  agent::Storage storage;
  storage.fstype = type;
  storage.mount_point = device::kGuestDiskFolder + id;
  storage.options = volume.options;
  if (disks.is_readonly(id)) storage.options.emplace_back("ro");
  storage.fs_group = volume.fs_group;
  to.mounts.push_back({.index = index, .path = storage.mount_point});
  to.storages.push_back({.disk = id, .storage = std::move(storage)});
  const std::string server = server_file(volume, rules.sandbox_id);
  write_file(server, "");
  to.files.push_back(server);
}

// Writable for every container of the pod: whose mount is read-only cannot write through that.
void claim_empty_dir(const oci::Mount& mount, size_t index, const std::string& image,
                     device::DiskManager& disks, device::ContainerDisks& to) {
  std::string type = "ext4";
  const std::string id = disks.claim(image, device::Access::kReadWrite, &type);
  to.claimed.push_back(id);
  struct stat folder{};
  if (::stat(mount.source.c_str(), &folder) != 0) throw_errno("looking at emptyDir " + mount.source);
  agent::Storage storage;
  storage.fstype = type;
  storage.mount_point = device::kGuestDiskFolder + base64url(mount.source);
  storage.options = {"discard"};
  storage.fs_group = folder.st_gid;
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

Awaitable<std::vector<std::string>> prepare_empty_dirs(const oci::Spec& spec, const VolumeRules& rules) {
  std::vector<std::string> images;
  if (rules.empty_dirs == VolumeRules::EmptyDirs::kShared) co_return images;
  for (const oci::Mount& mount : spec.mounts) {
    auto image = empty_dir_image(mount);
    if (!image) continue;
    if (rules.empty_dirs == VolumeRules::EmptyDirs::kEncrypted) {
      throw Error(
          Code::kUnimplemented,
          "emptyDir " + mount.source + ": emptydir_mode block-encrypted is not supported, block-plain is");
    }
    co_await make_empty_dir_image(*image);
    images.push_back(std::move(*image));
  }
  co_return images;
}

void claim_block_volumes(const oci::Spec& spec, const VolumeRules& rules, device::DiskManager& disks,
                         device::ContainerDisks& to) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const oci::Mount& mount = spec.mounts[i];
    with_context("mount " + mount.destination, [&] {
      if (is_disk(mount)) {
        claim_mount(mount, i, disks, to);
      } else if (is_direct_type(mount)) {
        if (const auto volume = find_direct_volume(mount.source, rules.direct_volumes))
          claim_direct(mount, i, *volume, rules, disks, to);
      }
      if (const auto image =
              rules.empty_dirs == VolumeRules::EmptyDirs::kDisks ? empty_dir_image(mount) : std::nullopt)
        claim_empty_dir(mount, i, *image, disks, to);
    });
  }
  if (!spec.linux_config) return;
  for (const oci::Device& node : spec.linux_config->devices) {
    if (node.type != "b") continue;
    with_context("device " + node.path, [&] { claim_node(spec, node, disks, to); });
  }
}

}  // namespace kata::volume
