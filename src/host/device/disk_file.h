// The file or block device behind a disk: opened once, checked, and kept from others.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

#include "host/vmm/vm_spec.h"
#include "lib/fd/unique_fd.h"

namespace kata::device {

enum class Access { kReadOnly, kReadWrite };

// What makes two names one disk: the device number of a block node, else the file itself.
struct DiskKey {
  bool block = false;
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const DiskKey&) const = default;
};

struct DiskFile {
  UniqueFd fd;
  DiskKey key;
  vmm::DiskSpec::Backing backing = vmm::DiskSpec::Backing::kFile;
  // As asked for, or because the block device says so (BLKROGET).
  bool readonly = false;
  // Bytes.
  uint64_t size = 0;
};

// Opens a regular file or block node with the access that the VMM will use. The descriptor carries a lock
// (flock(2)) that lasts as long as anybody has the descriptor, the VMM included: shared for readers, alone
// for a writer. Errors name the path: kNotFound; kInvalidArgument for what is no disk; kFailedPrecondition
// for an empty disk and one that somebody else writes or, for a writer, uses.
DiskFile open_disk(const std::string& path, Access access);

// Bytes of the file or device now, without opening it for use as a disk. Errors name the path.
uint64_t disk_size(const std::string& path);

// Whether two names are one disk, without opening it.
DiskKey key_of(const std::string& path);

// Whether `path` is a block node. False for whatever cannot be looked at.
bool is_block_node(const std::string& path);
bool is_regular_file(const std::string& path);

// The node of a device number, by what the kernel calls it; "" = there is no such device.
std::string node_of(unsigned major, unsigned minor, const std::string& sysfs = "/sys");

// Checks that the disk holds this file system, whole: kInvalidArgument for another one or none, and for a
// disk that ends before its file system does. A type that is not known here is not checked. An empty type
// takes what is there. Returns the type.
std::string check_filesystem(const DiskFile& disk, const std::string& path, const std::string& type);

// The same without a look at the size: for an image whose data is in further files.
void check_magic(const DiskFile& disk, const std::string& path, const std::string& type);

}  // namespace kata::device
