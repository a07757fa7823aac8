#include "host/device/filesystem_probe.h"

#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include <unistd.h>

#include "lib/error/error.h"

namespace kata::device {
namespace {

template <typename T>
T little(std::string_view head, size_t offset) {
  if (offset + sizeof(T) > head.size()) return 0;
  T value;
  std::memcpy(&value, head.data() + offset, sizeof value);
  return std::endian::native == std::endian::little ? value : std::byteswap(value);
}

template <typename T>
T big(std::string_view head, size_t offset) {
  return std::byteswap(little<T>(head, offset));
}

bool has(std::string_view head, size_t offset, std::string_view magic) {
  return head.size() >= offset + magic.size() && head.substr(offset, magic.size()) == magic;
}

// The largest value stands for any that does not fit.
uint64_t times(uint64_t count, uint64_t unit) {
  uint64_t result = 0;
  return __builtin_mul_overflow(count, unit, &result) ? std::numeric_limits<uint64_t>::max() : result;
}

// Documentation/filesystems/ext4/super.rst: the super block is at 1024.
std::optional<FilesystemInfo> probe_ext(std::string_view head) {
  constexpr size_t kSuper = 1024;
  if (little<uint16_t>(head, kSuper + 0x38) != 0xEF53) return std::nullopt;
  const auto log_size = little<uint32_t>(head, kSuper + 0x18);
  uint64_t blocks = little<uint32_t>(head, kSuper + 0x4);
  const auto incompatible = little<uint32_t>(head, kSuper + 0x60);
  constexpr uint32_t k64Bit = 0x80;
  if ((incompatible & k64Bit) != 0) blocks |= uint64_t{little<uint32_t>(head, kSuper + 0x150)} << 32;
  return FilesystemInfo{.type = "ext4", .size = log_size > 6 ? 0 : times(blocks, uint64_t{1024} << log_size)};
}

// xfs_sb: big-endian, block size at 4, number of blocks at 8.
std::optional<FilesystemInfo> probe_xfs(std::string_view head) {
  if (!has(head, 0, "XFSB")) return std::nullopt;
  return FilesystemInfo{.type = "xfs", .size = times(big<uint64_t>(head, 8), big<uint32_t>(head, 4))};
}

// erofs_super_block at 1024: block size as a power of two at 12, number of blocks at 36.
std::optional<FilesystemInfo> probe_erofs(std::string_view head) {
  constexpr size_t kSuper = 1024;
  if (little<uint32_t>(head, kSuper) != 0xE0F5E1E2) return std::nullopt;
  const auto bits = little<uint8_t>(head, kSuper + 12);
  const uint64_t blocks = little<uint32_t>(head, kSuper + 36);
  return FilesystemInfo{.type = "erofs", .size = bits > 16 ? 0 : times(blocks, uint64_t{1} << bits)};
}

// btrfs_super_block at 64 KiB: total bytes at 0x70.
std::optional<FilesystemInfo> probe_btrfs(std::string_view head) {
  constexpr size_t kSuper = 0x10000;
  if (!has(head, kSuper + 0x40, "_BHRfS_M")) return std::nullopt;
  return FilesystemInfo{.type = "btrfs", .size = little<uint64_t>(head, kSuper + 0x70)};
}

// squashfs_super_block: bytes used at 40.
std::optional<FilesystemInfo> probe_squashfs(std::string_view head) {
  if (!has(head, 0, "hsqs")) return std::nullopt;
  return FilesystemInfo{.type = "squashfs", .size = little<uint64_t>(head, 40)};
}

}  // namespace

std::optional<FilesystemInfo> probe_filesystem(std::string_view head) {
  for (const auto probe : {probe_xfs, probe_squashfs, probe_erofs, probe_ext, probe_btrfs}) {
    if (auto found = probe(head)) return found;
  }
  return std::nullopt;
}

std::optional<FilesystemInfo> probe_filesystem(int fd, const std::string& what) {
  std::string head(kProbeBytes, '\0');
  size_t have = 0;
  while (have < head.size()) {
    const ssize_t n = ::pread(fd, head.data() + have, head.size() - have, static_cast<off_t>(have));
    if (n < 0) throw_errno("reading " + what);
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  head.resize(have);
  return probe_filesystem(std::string_view(head));
}

}  // namespace kata::device
