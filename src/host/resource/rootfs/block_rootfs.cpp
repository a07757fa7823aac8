#include "host/resource/rootfs/block_rootfs.h"

#include <algorithm>
#include <string_view>

#include "lib/error/error.h"
#include "lib/text/case.h"

namespace kata::rootfs {
namespace {

bool has_option(const MountRequest& mount, std::string_view option) {
  return std::ranges::find(mount.options, option) != mount.options.end();
}

bool is_layers(const std::vector<MountRequest>& mounts) {
  bool erofs = false;
  bool overlay = false;
  for (const MountRequest& mount : mounts) {
    const std::string type = lower_case(mount.type);
    erofs = erofs || type == "erofs";
    overlay = overlay || type == "overlay" || type == "format/overlay" || type == "format/mkdir/overlay";
  }
  return mounts.size() >= 2 && erofs && overlay;
}

// Over what is mounted at `lower`. The agent adds the upper folder.
agent::Storage writable_overlay(const std::string& lower, const std::string& mount_point) {
  return {.driver = "overlayfs",
          .driver_options = {},
          .source = "overlay",
          .fstype = "overlay",
          .options = {"lowerdir=" + lower, "io.katacontainers.fs-opt.overlay-rw"},
          .mount_point = mount_point};
}

}  // namespace

Kind classify(const std::vector<MountRequest>& mounts) {
  if (is_layers(mounts)) return Kind::kLayers;
  if (mounts.size() != 1) return Kind::kFolder;
  const MountRequest& mount = mounts.front();
  const bool image = has_option(mount, "loop") && device::is_regular_file(mount.source);
  return image || device::is_block_node(mount.source) ? Kind::kBlock : Kind::kFolder;
}

std::string guest_rootfs_path(const std::string& container_id) {
  return std::string(device::kGuestDiskFolder) + "rootfs-" + container_id;
}

void claim_block_rootfs(const MountRequest& mount, const std::string& container_id, RootAccess root,
                        device::DiskManager& disks, device::ContainerDisks& to) {
  const auto access = has_option(mount, "ro") ? device::Access::kReadOnly : device::Access::kReadWrite;
  std::string type = mount.type;
  const std::string id = with_context("root file system of container " + container_id,
                                      [&] { return disks.claim(mount.source, access, &type); });
  to.claimed.push_back(id);
  agent::Storage storage;
  storage.fstype = type;
  storage.mount_point = guest_rootfs_path(container_id);
  for (const std::string& option : mount.options) {
    if (option != "loop") storage.options.push_back(option);
  }
  // A snapshot of an XFS has the same UUID as the one it was made from.
  if (type == "xfs" && !has_option(mount, "nouuid")) storage.options.emplace_back("nouuid");
  to.rootfs = storage.mount_point;
  if (!disks.is_readonly(id) || root == RootAccess::kReadOnly) {
    to.storages.push_back({.disk = id, .storage = std::move(storage)});
    return;
  }
  storage.mount_point += "-disk";
  // Also where only the device says so.
  if (!has_option(mount, "ro")) storage.options.emplace_back("ro");
  agent::Storage overlay = writable_overlay(storage.mount_point, to.rootfs);
  to.storages.push_back({.disk = id, .storage = std::move(storage)});
  to.storages.push_back({.disk = {}, .storage = std::move(overlay)});
}

}  // namespace kata::rootfs
