// What file system is on a disk, from its first bytes: ext2/3/4, XFS, Btrfs, EROFS and SquashFS. Nothing is
// trusted: any bytes give an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kata::device {

struct FilesystemInfo {
  // As mount(2) calls it.
  std::string type;
  // Bytes that the file system takes; 0 = it does not tell.
  uint64_t size = 0;
};

// How many bytes from the beginning the answer needs.
inline constexpr size_t kProbeBytes = 0x10000 + 0x1000;

std::optional<FilesystemInfo> probe_filesystem(std::string_view head);

// Reads the head of an open file or block device.
std::optional<FilesystemInfo> probe_filesystem(int fd, const std::string& what);

}  // namespace kata::device
