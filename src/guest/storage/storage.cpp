#include "guest/storage/storage.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ranges>

#include <unistd.h>

#include "guest/storage/handlers.h"
#include "guest/storage/layer_group.h"
#include "guest/storage/mount_step.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::storage {
namespace {

struct Driver {
  std::string_view name;
  Awaitable<> (*attach)(const Storage& storage, const Context& context, Attached& made);
};

constexpr std::array kDrivers = {
    Driver{"blk", attach_block},           Driver{"blk-ccw", attach_block},
    Driver{"mmioblk", attach_block},       Driver{"scsi", attach_block},
    Driver{"nvdimm", attach_block},        Driver{"virtio-fs", attach_virtio_fs},
    Driver{"bind", attach_bind},           Driver{"overlayfs", attach_overlay},
    Driver{"ephemeral", attach_ephemeral}, Driver{"image_guest_pull", attach_guest_pull},
    Driver{"local", attach_local},         Driver{"watchable-bind", attach_watchable},
    Driver{kLayersDriver, attach_layers},
};

// Where storages may be mounted: the guest's own folders for them (agent-api, section 7).
constexpr std::array<std::string_view, 3> kRoots = {"/run/kata-containers/", "/run/kata-extensions/",
                                                    "/run/user/"};

constexpr std::chrono::minutes kGroupLimit{5};
constexpr std::chrono::seconds kUnmountLimit{10};

// All of them, newest first, whatever fails; then the first error.
void unmount_all(const std::vector<std::string>& mounts) {
  std::exception_ptr failure;
  for (const std::string& mount : std::views::reverse(mounts)) {
    try {
      kernel::unmount_detach(mount);
    } catch (const Error&) {
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void check_mount_point(const std::string& path) {
  const bool below =
      std::ranges::any_of(kRoots, [&](std::string_view root) { return path.starts_with(root); });
  const std::string bounded = path + "/";
  if (!below || bounded.find("/../") != std::string::npos || bounded.find("/./") != std::string::npos ||
      path.find('\0') != std::string::npos) {
    throw Error(Code::kInvalidArgument, "storage mount_point " + path.substr(0, 300) +
                                            ": must be an absolute path below /run/kata-containers");
  }
}

}  // namespace

Awaitable<Attached> attach(const Storage& storage, const Context& context) {
  const auto* driver = std::ranges::find(kDrivers, storage.driver, &Driver::name);
  if (driver == kDrivers.end())
    throw Error(Code::kInvalidArgument, "storage driver " + storage.driver.substr(0, 100) + " is unknown");
  check_mount_point(storage.mount_point);
  Attached made;
  std::exception_ptr failure;
  try {
    co_await driver->attach(storage, context, made);
    if (storage.fs_group) {
      auto body = [&] { apply_fs_group(storage.mount_point, *storage.fs_group, storage.options); };
      co_await run_in_child(std::move(body), kGroupLimit, "storage fs_group");
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    // Also for a caller that was cancelled.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await detach(std::move(made), storage.mount_point);
    throw to_error(failure).within("storage " + storage.mount_point);
  }
  co_return made;
}

Awaitable<> detach(Attached attached, std::string what) {
  // First who works on the mounts.
  attached.keeper.reset();
  if (!attached.mounts.empty()) {
    auto body = [&] { unmount_all(attached.mounts); };
    try {
      co_await run_in_child(std::move(body), kUnmountLimit, "unmounting");
    } catch (const Error& error) {
      log::warning("storage not unmounted", {{"storage", what}, {"error", error.message()}});
    }
  }
  for (const std::string& directory : std::views::reverse(attached.directories)) {
    // A folder with content is a volume's data or holds somebody else's mount.
    if (::rmdir(directory.c_str()) != 0 && errno != ENOTEMPTY && errno != ENOENT && errno != EBUSY)
      log::debug("storage folder not removed", {{"folder", directory}});
  }
}

std::vector<std::string> driver_names() {
  std::vector<std::string> names;
  for (const Driver& driver : kDrivers) names.emplace_back(driver.name);
  return names;
}

}  // namespace kata::storage
