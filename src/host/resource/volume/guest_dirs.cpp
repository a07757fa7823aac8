#include "host/resource/volume/guest_dirs.h"

#include <algorithm>
#include <filesystem>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "host/resource/volume/bind_volumes.h"
#include "host/resource/volume/empty_dir.h"
#include "lib/error/error.h"

namespace kata::volume {
namespace {

// A mount of the whole memory says nothing about a limit.
constexpr uint64_t kNoLimit = uint64_t{1} << 50;

agent::Storage storage_for(const oci::Mount& mount, const std::string& sandbox_id) {
  struct statfs space{};
  struct stat owner{};
  if (::statfs(mount.source.c_str(), &space) != 0 || ::stat(mount.source.c_str(), &owner) != 0)
    throw_errno("looking at emptyDir " + mount.source);
  const std::string name = std::filesystem::path(mount.source).filename();
  agent::Storage storage;
  storage.shared = true;
  if (space.f_type == TMPFS_MAGIC) {
    storage.driver = "ephemeral";
    storage.source = storage.fstype = "tmpfs";
    storage.options = {"mode=1777"};
    const uint64_t size = static_cast<uint64_t>(space.f_blocks) * static_cast<uint64_t>(space.f_bsize);
    if (size != 0 && size < kNoLimit) storage.options.push_back("size=" + std::to_string(size));
    storage.mount_point = "/run/kata-containers/sandbox/ephemeral/" + name;
  } else {
    storage.driver = storage.source = storage.fstype = "local";
    storage.options = {"mode=0777"};
    storage.mount_point =
        "/run/kata-containers/shared/containers/passthrough/" + sandbox_id + "/rootfs/local/" + name;
  }
  if (owner.st_gid != 0) storage.options.push_back("fsgid=" + std::to_string(owner.st_gid));
  return storage;
}

}  // namespace

GuestDirs guest_empty_dirs(const oci::Spec& spec, const std::string& sandbox_id,
                           const std::vector<device::ContainerDisks::MountSource>& done) {
  GuestDirs dirs;
  for (size_t index = 0; index < spec.mounts.size(); ++index) {
    const oci::Mount& mount = spec.mounts[index];
    if (!is_bind(mount) || !is_empty_dir(mount.source)) continue;
    if (std::ranges::find(done, index, &device::ContainerDisks::MountSource::index) != done.end()) continue;
    agent::Storage storage = storage_for(mount, sandbox_id);
    dirs.mounts.push_back({.index = index, .path = storage.mount_point});
    dirs.storages.push_back(std::move(storage));
  }
  return dirs;
}

}  // namespace kata::volume
