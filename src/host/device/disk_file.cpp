#include "host/device/disk_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <linux/fs.h>
#include <string_view>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>

#include "host/device/filesystem_probe.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::device {
namespace {

struct stat look(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw_errno("looking for disk " + path);
  return info;
}

DiskKey key_of(const struct stat& info) {
  if (S_ISBLK(info.st_mode)) return {.block = true, .device = info.st_rdev, .inode = 0};
  return {.block = false, .device = info.st_dev, .inode = info.st_ino};
}

void check_kind(const struct stat& info, const std::string& path) {
  if (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode)) return;
  throw Error(Code::kInvalidArgument, "disk " + path +
                                          (S_ISDIR(info.st_mode) ? " is a folder" : " is a special file") +
                                          ": a block device or a regular file can be a disk");
}

// Whether the kernel lets nobody write to the device. What cannot be asked counts as writable.
bool is_readonly_device(int fd, const std::string& path) {
  int flag = 0;
  if (::ioctl(fd, BLKROGET, &flag) == 0) return flag != 0;
  log::warning("a block device does not tell whether it is read-only",
               {{"device", path}, {"errno", std::to_string(errno)}});
  return false;
}

void lock(int fd, const std::string& path, Access access) {
  if (::flock(fd, (access == Access::kReadOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  // Some file systems have no locks; what they hold is not kept from others then.
  if (errno != EWOULDBLOCK) return;
  throw Error(Code::kFailedPrecondition, "disk " + path + " is in use by another sandbox or program" +
                                             (access == Access::kReadOnly ? ", which writes to it" : ""));
}

uint64_t size_of(int fd, const struct stat& info, const std::string& path) {
  uint64_t size = static_cast<uint64_t>(info.st_size);
  if (S_ISBLK(info.st_mode) && ::ioctl(fd, BLKGETSIZE64, &size) != 0)
    throw_errno("asking for the size of disk " + path);
  if (size == 0) throw Error(Code::kFailedPrecondition, "disk " + path + " is empty (0 bytes)");
  return size;
}

}  // namespace

DiskKey key_of(const std::string& path) {
  return key_of(look(path));
}

bool is_block_node(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
}

bool is_regular_file(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::string node_of(unsigned major, unsigned minor, const std::string& sysfs) {
  const std::string file =
      sysfs + "/dev/block/" + std::to_string(major) + ":" + std::to_string(minor) + "/uevent";
  std::string text;
  try {
    text = read_file(file, 4096);
  } catch (const Error&) {
    return {};
  }
  constexpr std::string_view kName = "DEVNAME=";
  size_t begin = text.starts_with(kName) ? 0 : text.find("\n" + std::string(kName));
  if (begin == std::string::npos) return {};
  begin = text.find('=', begin) + 1;
  return "/dev/" + text.substr(begin, text.find('\n', begin) - begin);
}

uint64_t disk_size(const std::string& path) {
  check_kind(look(path), path);
  const UniqueFd file = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) throw_errno("looking at disk " + path);
  return size_of(file.get(), info, path);
}

DiskFile open_disk(const std::string& path, Access access) {
  check_kind(look(path), path);
  const auto open_as = [&path](int mode) { return open_file(path, mode | O_NONBLOCK | O_NOCTTY); };
  DiskFile disk;
  disk.readonly = access == Access::kReadOnly;
  disk.fd = open_as(O_RDONLY);
  struct stat info{};
  if (::fstat(disk.fd.get(), &info) != 0) throw_errno("looking at disk " + path);
  // It may have been replaced since.
  check_kind(info, path);
  disk.key = key_of(info);
  if (S_ISBLK(info.st_mode)) {
    disk.backing = vmm::DiskSpec::Backing::kBlockDevice;
    disk.readonly = disk.readonly || is_readonly_device(disk.fd.get(), path);
  }
  if (!disk.readonly) {
    disk.fd = open_as(O_RDWR);
    if (::fstat(disk.fd.get(), &info) != 0 || key_of(info) != disk.key)
      throw Error(Code::kFailedPrecondition, "disk " + path + " was replaced while it was opened");
  }
  disk.size = size_of(disk.fd.get(), info, path);
  lock(disk.fd.get(), path, disk.readonly ? Access::kReadOnly : Access::kReadWrite);
  return disk;
}

void check_magic(const DiskFile& disk, const std::string& path, const std::string& type) {
  const auto found = probe_filesystem(disk.fd.get(), "disk " + path);
  if (!found || found->type != type)
    throw Error(Code::kInvalidArgument, "disk " + path + " has no " + type + " file system");
}

std::string check_filesystem(const DiskFile& disk, const std::string& path, const std::string& type) {
  constexpr std::array<std::string_view, 5> kKnown = {"ext4", "xfs", "btrfs", "erofs", "squashfs"};
  const bool known = type.empty() || std::ranges::find(kKnown, type) != kKnown.end();
  if (!known) return type;
  const auto found = probe_filesystem(disk.fd.get(), "disk " + path);
  if (!found)
    throw Error(Code::kInvalidArgument,
                "disk " + path + " has no " + (type.empty() ? "known" : type) + " file system");
  if (!type.empty() && found->type != type)
    throw Error(Code::kInvalidArgument,
                "disk " + path + " has no " + type + " file system but " + found->type);
  if (found->size > disk.size) {
    throw Error(Code::kInvalidArgument, "disk " + path + " has " + std::to_string(disk.size) +
                                            " bytes, its " + found->type + " file system " +
                                            std::to_string(found->size));
  }
  return found->type;
}

}  // namespace kata::device
