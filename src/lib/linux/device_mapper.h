// Devices of the kernel's device-mapper, with one target each (Documentation/admin-guide/device-mapper,
// linux/dm-ioctl.h).
#pragma once

#include <cstdint>
#include <string>

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

struct DmTarget {
  // "verity"
  std::string type;
  // Of 512 bytes.
  uint64_t sectors = 0;
  // The rest of its table line.
  std::string parameters;
};

// /dev/mapper/control; kUnavailable when the kernel has no device-mapper.
UniqueFd open_device_mapper();

// Makes a read-only device and switches it on; returns its minor number: the node is /dev/dm-<minor>. `what`
// is for errors. A device whose table is refused is removed again.
unsigned create_dm_device(int control, const std::string& name, const DmTarget& target,
                          const std::string& what);

// As soon as nobody uses it: at once, or with the mount that does.
void remove_dm_device(int control, const std::string& name);

// The longest name.
inline constexpr size_t kMaxDmName = 127;

}  // namespace kata::kernel
