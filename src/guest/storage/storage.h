// Storages: what the host asks the guest to mount before a sandbox or a container can use it (agent-api,
// section 4).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/async/awaitable.h"

namespace kata::storage {

struct FsGroup {
  uint32_t gid = 0;
  enum class Policy { kAlways, kOnRootMismatch };
  Policy policy = Policy::kAlways;
};

struct Storage {
  std::string driver;
  std::vector<std::string> driver_options;
  std::string source;
  std::string fstype;
  std::vector<std::string> options;
  // Absolute guest path; also the key under which the sandbox counts users.
  std::string mount_point;
  std::optional<FsGroup> fs_group;
  // Kept until the sandbox ends.
  bool shared = false;
  // Of a group that is one storage (layer_group.h).
  std::vector<Storage> members;
};

struct MirrorLimits {
  // Regular files, and their bytes in all.
  size_t files = 16;
  uint64_t bytes = uint64_t{1} << 20;
};

// What a handler may use besides the storage itself.
struct Context {
  // Empty for a storage of the sandbox.
  std::string container_id;
  // Waits for the block device that `driver` calls `address` and returns its node; throws kDeadlineExceeded.
  std::function<Awaitable<std::string>(std::string driver, std::string address)> find_device;
  // Has an image unpacked to <bundle>/rootfs.
  std::function<Awaitable<>(std::string image, std::string bundle)> pull_image = {};
  // What a watched folder may hold; a larger one is bound and not followed.
  MirrorLimits watchable = {};
};

// What a handler made. Given back in reverse order: mounts detached, then folders removed if they are empty.
struct Attached {
  std::vector<std::string> mounts;
  std::vector<std::string> directories;
  // Work that goes on as long as the storage is attached.
  std::shared_ptr<void> keeper;
};

// Attaches one storage. An error leaves nothing behind. Unknown driver, unknown option values, a mount point
// outside of the guest's own folders: kInvalidArgument naming the field.
Awaitable<Attached> attach(const Storage& storage, const Context& context);
// Best effort; failures are logged. Unmounts in a child process within a limit: the file system may hang.
Awaitable<> detach(Attached attached, std::string what);

// Names of the registered drivers, for GetGuestDetails.
std::vector<std::string> driver_names();

// Applies new options to the mount of an `ephemeral` storage (UpdateEphemeralMounts).
Awaitable<> remount_ephemeral(Storage storage);

}  // namespace kata::storage
