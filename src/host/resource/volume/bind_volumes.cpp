#include "host/resource/volume/bind_volumes.h"

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>

#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::volume {
namespace {

bool is_below(std::string_view path, std::string_view folder) {
  return path == folder ||
         (path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/');
}

Awaitable<> share_one(share_fs::ShareFs& share, oci::Mount& mount, std::vector<std::string>& shared) {
  const auto access = has_option(mount, "ro") ? share_fs::ShareTree::Access::kReadOnly
                                              : share_fs::ShareTree::Access::kReadWrite;
  std::exception_ptr failure;
  try {
    mount.source = co_await share.share_path(mount.source, access);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (failure) throw to_error(failure).within("mount " + mount.destination + " from " + mount.source);
  shared.push_back(mount.source);
}

}  // namespace

bool has_option(const oci::Mount& mount, std::string_view option) {
  return std::ranges::find(mount.options, option) != mount.options.end();
}

bool is_bind(const oci::Mount& mount) {
  return mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
}

MountKind classify(const oci::Mount& mount) {
  if (!is_bind(mount)) return MountKind::kGuestOnly;
  if (mount.destination == "/dev/shm") return MountKind::kSandboxShm;
  for (const std::string_view folder : {"/dev", "/proc", "/sys"}) {
    if (is_below(mount.source, folder)) return MountKind::kHostSystem;
  }
  return MountKind::kHostBind;
}

Awaitable<std::vector<std::string>> share_bind_mounts(
    share_fs::ShareFs& share, oci::Spec& spec,
    const std::vector<device::ContainerDisks::MountSource>& on_disks) {
  std::vector<std::string> shared;
  std::exception_ptr failure;
  try {
    for (size_t index = 0; index < spec.mounts.size(); ++index) {
      if (std::ranges::find(on_disks, index, &device::ContainerDisks::MountSource::index) != on_disks.end())
        continue;
      oci::Mount& mount = spec.mounts[index];
      switch (classify(mount)) {
        case MountKind::kGuestOnly:
          break;
        case MountKind::kSandboxShm:
          mount.type = "bind";
          mount.source = kGuestShm;
          break;
        // The guest's own node or file of that name is meant.
        case MountKind::kHostSystem:
          break;
        case MountKind::kHostBind:
          co_await share_one(share, mount, shared);
          break;
      }
    }
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (!failure) co_return shared;
  for (const std::string& path : shared) {
    try {
      co_await share.unshare_path(path);
    } catch (const Error& error) {
      log::warning("giving back a shared path", {{"path", path}, {"error", error.message()}});
    }
  }
  std::rethrow_exception(failure);
}

}  // namespace kata::volume
