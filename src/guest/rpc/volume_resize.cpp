#include "guest/rpc/volume_resize.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::rpc {
namespace {

constexpr std::chrono::minutes kLimit{2};

// The kernel's headers for programs have neither of these: fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h.
constexpr unsigned long kExt4Resize = _IOW('f', 16, uint64_t);

struct XfsGeometry {
  uint32_t block_size, realtime_extent, ag_blocks, ag_count, log_blocks, sector_size, inode_size;
  uint32_t max_inode_percent;
  uint64_t data_blocks, realtime_blocks, realtime_extents, log_start;
  unsigned char uuid[16];
  uint32_t stripe_unit, stripe_width;
  int32_t version;
  uint32_t flags, log_sector_size, realtime_sector_size, directory_block_size;
};
static_assert(sizeof(XfsGeometry) == 112);
constexpr unsigned long kXfsGeometry = _IOR('X', 100, XfsGeometry);

struct XfsGrow {
  uint64_t new_blocks;
  uint32_t max_inode_percent;
};
static_assert(sizeof(XfsGrow) == 16);
constexpr unsigned long kXfsGrowData = _IOW('X', 110, XfsGrow);

// Bytes of the block device.
uint64_t device_size(const std::string& path, dev_t device) {
  const std::string file =
      "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/size";
  try {
    return std::stoull(read_file(file, 64)) * 512;
  } catch (const std::exception&) {
    throw Error(Code::kFailedPrecondition,
                "volume_guest_path " + path + ": its file system is on no block device (no " + file + ")");
  }
}

// A btrfs file system has device numbers of its own: its mount names the node.
dev_t btrfs_device(int fd, const std::string& path) {
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info) != 0 || (info.stx_mask & STATX_MNT_ID) == 0)
    throw_errno("asking for the mount of " + path);
  const auto entries = kernel::parse_mountinfo(read_file("/proc/self/mountinfo"));
  if (!entries) throw entries.error();
  const auto mount = std::ranges::find(*entries, static_cast<int>(info.stx_mnt_id), &kernel::MountEntry::id);
  struct stat node{};
  if (mount == entries->end() || ::stat(mount->source.c_str(), &node) != 0 || !S_ISBLK(node.st_mode))
    throw Error(Code::kFailedPrecondition,
                "volume_guest_path " + path + ": the device of its mount was not found");
  return node.st_rdev;
}

// The size to grow to.
uint64_t target_size(const std::string& path, uint64_t size, uint64_t device) {
  if (size <= device) return size == 0 ? device : size;
  throw Error(Code::kFailedPrecondition, "volume_guest_path " + path + ": size " + std::to_string(size) +
                                             " is more than its device has (" + std::to_string(device) +
                                             " bytes): grow the disk first");
}

void grow_ext4(int fd, const std::string& path, uint64_t size, uint64_t block) {
  uint64_t blocks = size / block;
  if (::ioctl(fd, kExt4Resize, &blocks) != 0) throw_errno("growing the ext4 file system at " + path);
}

void grow_xfs(int fd, const std::string& path, uint64_t size) {
  XfsGeometry geometry{};
  if (::ioctl(fd, kXfsGeometry, &geometry) != 0) throw_errno("asking the xfs file system at " + path);
  if (geometry.block_size == 0) throw Error(Code::kInternal, "xfs at " + path + " has blocks of 0 bytes");
  XfsGrow grow{.new_blocks = size / geometry.block_size, .max_inode_percent = geometry.max_inode_percent};
  if (grow.new_blocks <= geometry.data_blocks) return;
  if (::ioctl(fd, kXfsGrowData, &grow) != 0) throw_errno("growing the xfs file system at " + path);
}

void grow_btrfs(int fd, const std::string& path, uint64_t size) {
  btrfs_ioctl_vol_args arguments{};
  std::strncpy(arguments.name, std::to_string(size).c_str(), sizeof arguments.name - 1);
  if (::ioctl(fd, BTRFS_IOC_RESIZE, &arguments) < 0) throw_errno("growing the btrfs file system at " + path);
}

}  // namespace

void grow_filesystem(const std::string& path, uint64_t size) {
  const UniqueFd fd = open_file(path, O_RDONLY | O_DIRECTORY);
  struct statfs figures{};
  struct stat info{};
  if (::fstatfs(fd.get(), &figures) != 0 || ::fstat(fd.get(), &info) != 0)
    throw_errno("asking for the file system at " + path);
  const auto block = static_cast<uint64_t>(figures.f_bsize);
  const uint64_t current = figures.f_blocks * block;
  // What the file system keeps for itself is not in f_blocks: only a size of 0 may be compared later.
  if (size != 0 && current >= size) return;
  switch (static_cast<unsigned long>(figures.f_type)) {
    case EXT4_SUPER_MAGIC:
      return grow_ext4(fd.get(), path, target_size(path, size, device_size(path, info.st_dev)), block);
    case XFS_SUPER_MAGIC:
      return grow_xfs(fd.get(), path, target_size(path, size, device_size(path, info.st_dev)));
    case BTRFS_SUPER_MAGIC: {
      const dev_t device = btrfs_device(fd.get(), path);
      return grow_btrfs(fd.get(), path, target_size(path, size, device_size(path, device)));
    }
    default:
      throw Error(Code::kUnimplemented, "volume_guest_path " + path +
                                            ": growing is known for ext4, xfs and btrfs, not for type " +
                                            std::to_string(figures.f_type));
  }
}

device::Lookup room_lookup(const std::string& path, uint64_t size, const std::string& sysfs) {
  return [path, size, sysfs]() -> std::optional<std::string> {
    // Of what the kernel knows already: a share that hangs is not asked.
    struct statx info{};
    if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, 0, &info) != 0) return path;
    const std::string file = sysfs + "/dev/block/" + std::to_string(info.stx_dev_major) + ":" +
                             std::to_string(info.stx_dev_minor) + "/size";
    if (::access(file.c_str(), R_OK) != 0) return path;
    if (std::strtoull(read_file(file, 64).c_str(), nullptr, 10) >= size / 512) return path;
    return std::nullopt;
  };
}

Awaitable<> resize_volume(std::string path, uint64_t size) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)
    throw Error(Code::kInvalidArgument, "volume_guest_path \"" + path.substr(0, 300) + "\" is not absolute");
  auto body = [&path, size] { grow_filesystem(path, size); };
  co_await run_in_child(std::move(body), kLimit, "growing a volume");
}

}  // namespace kata::rpc
