// ResizeVolume: a mounted file system grows into the room that its device has.
#pragma once

#include <cstdint>
#include <string>

#include "guest/device/block_device.h"
#include "lib/async/awaitable.h"

namespace kata::rpc {

// Grows the file system at `path` to `size` bytes, 0 = all of its device. One that is that large already
// stays as it is. kInvalidArgument for a relative path; kFailedPrecondition when the device is smaller than
// `size`; kUnimplemented for other file systems than ext4, xfs and btrfs. Works in a child process: the
// device may hang.
Awaitable<> resize_volume(std::string path, uint64_t size);

// The look-up (guest/device/block_device.h) that answers when the device below the mount has that room, or is
// none of which the kernel tells a size.
device::Lookup room_lookup(const std::string& path, uint64_t size, const std::string& sysfs = "/sys");

// As resize_volume, in this process.
void grow_filesystem(const std::string& path, uint64_t size);

}  // namespace kata::rpc
