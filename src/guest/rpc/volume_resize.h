// ResizeVolume: a mounted file system grows into the room that its device has.
#pragma once

#include <cstdint>
#include <string>

#include "lib/async/awaitable.h"

namespace kata::rpc {

// Grows the file system at `path` to `size` bytes, 0 = all of its device. One that is that large already
// stays as it is. kInvalidArgument for a relative path; kFailedPrecondition when the device is smaller than
// `size`; kUnimplemented for other file systems than ext4, xfs and btrfs. Works in a child process: the
// device may hang.
Awaitable<> resize_volume(std::string path, uint64_t size);

// The same in this process.
void grow_filesystem(const std::string& path, uint64_t size);

}  // namespace kata::rpc
