#include "host/resource/volume/bind_volumes.h"

#include <algorithm>
#include <exception>
#include <optional>
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

// False when the container goes without it.
Awaitable<bool> share_one(share_fs::Share& share, oci::Mount& mount, const std::string& container_id,
                          std::vector<std::string>& shared) {
  share_fs::SharedPath path;
  path.source = mount.source;
  path.access = has_option(mount, "ro") ? share_fs::ShareTree::Access::kReadOnly
                                        : share_fs::ShareTree::Access::kReadWrite;
  path.container_id = container_id;
  path.destination = mount.destination;
  std::optional<std::string> place;
  std::exception_ptr failure;
  try {
    place = co_await share.share_path(std::move(path));
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (failure) throw to_error(failure).within("mount " + mount.destination + " from " + mount.source);
  if (!place) co_return false;
  mount.source = *place;
  shared.push_back(*std::move(place));
  co_return true;
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
    share_fs::Share& share, oci::Spec& spec, std::string container_id,
    const std::vector<device::ContainerDisks::MountSource>& done) {
  std::vector<std::string> shared;
  std::vector<std::string> left_out;
  std::exception_ptr failure;
  try {
    for (size_t index = 0; index < spec.mounts.size(); ++index) {
      if (std::ranges::find(done, index, &device::ContainerDisks::MountSource::index) != done.end()) continue;
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
          if (!co_await share_one(share, mount, container_id, shared)) left_out.push_back(mount.destination);
          break;
      }
    }
  } catch (const Error&) {
    failure = std::current_exception();
  }
  std::erase_if(spec.mounts, [&](const oci::Mount& mount) {
    return std::ranges::find(left_out, mount.destination) != left_out.end();
  });
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
