#include "guest/storage/mount_step.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/boot/modules.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::storage {
namespace {

constexpr size_t kMountinfoLimit = size_t{4} << 20;

// Cheaper than the list of all mounts, and most often the answer.
bool is_surely_no_mount_point(const std::string& path) {
  struct statx info{};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &info) != 0) return false;
  return (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0;
}

// The file system type that is mounted on exactly this path, empty when none is.
std::string mounted_type(const std::string& path) {
  if (is_surely_no_mount_point(path)) return {};
  const auto entries = kernel::parse_mountinfo(read_file("/proc/self/mountinfo", kMountinfoLimit));
  if (!entries) throw entries.error();
  std::string type;
  for (const kernel::MountEntry& entry : *entries) {
    if (entry.mount_point == path) type = entry.fstype;
  }
  return type;
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// Whether a mount that is there makes this one superfluous.
bool is_done(const Storage& storage, unsigned long flags) {
  if ((flags & (MS_REMOUNT | MS_BIND)) != 0) return false;
  const std::string type = mounted_type(without_trailing_slash(storage.mount_point));
  // The share of the host may have been mounted at boot, under whatever type.
  return !type.empty() && (type == storage.fstype || storage.source == "kataShared");
}

void mount_now(const std::string& source, const std::string& target, const std::string& fstype,
               const kernel::MountOptions& parsed) {
  if ((parsed.flags & MS_BIND) == 0) {
    kernel::mount(source, target, fstype, parsed.flags, parsed.data);
  } else {
    kernel::mount(source, target, "", parsed.flags & (MS_BIND | MS_REC), "");
    const unsigned long rest = parsed.flags & ~(MS_BIND | MS_REC);
    if (rest != 0) kernel::mount("", target, "", MS_REMOUNT | MS_BIND | rest, "");
  }
  if (parsed.propagation != 0) kernel::set_propagation(target, parsed.propagation);
}

}  // namespace

void make_directories(const std::string& path, Attached& made) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0755) == 0) {
      made.directories.push_back(part);
    } else if (errno != EEXIST) {
      throw_errno("making the folder " + part);
    }
    if (at == std::string::npos || at + 1 == path.size()) return;
  }
}

std::optional<std::string> option_value(const std::vector<std::string>& options, std::string_view name) {
  std::optional<std::string> value;
  for (const std::string& option : options) {
    if (option.starts_with(name) && option.size() > name.size() && option[name.size()] == '=')
      value = option.substr(name.size() + 1);
  }
  return value;
}

uint64_t parse_number(const std::string& text, int base, std::string_view option) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || stop != text.data() + text.size() || text.empty()) {
    throw Error(Code::kInvalidArgument, "storage option " + std::string(option) + "=" + text.substr(0, 100) +
                                            ": expected " + (base == 8 ? "an octal number" : "a number"));
  }
  return value;
}

std::vector<std::string> without_option(const std::vector<std::string>& options, std::string_view name) {
  std::vector<std::string> kept;
  for (const std::string& option : options) {
    if (option.substr(0, option.find('=')) != name) kept.push_back(option);
  }
  return kept;
}

Awaitable<> mount_storage(const Storage& storage, const std::string& source,
                          const std::vector<std::string>& options, Attached& made) {
  if (std::ranges::find(options, "loop") != options.end())
    throw Error(Code::kInvalidArgument, "storage options: loop is not possible in the guest");
  const kernel::MountOptions parsed = kernel::parse_mount_options(options);
  if (is_done(storage, parsed.flags)) co_return;
  const std::string target = storage.mount_point;
  const std::string fstype = storage.fstype;
  boot::load_on_demand("fs:" + fstype);
  // Counted as made before it is tried: a child that is killed half way may have mounted.
  made.mounts.push_back(target);
  auto body = [=] { mount_now(source, target, fstype, parsed); };
  // Nobody to wait for, and a child process costs more than the mount: the kernel's own memory, and virtiofs,
  // which sends its first message without waiting for the answer.
  if (fstype == "tmpfs" || fstype == "hugetlbfs" || fstype == "virtiofs") {
    body();
    co_return;
  }
  co_await run_in_child(std::move(body), kMountLimit, "storage " + storage.driver);
}

void apply_fsgid(const std::string& path, const std::string& gid) {
  const auto number = static_cast<gid_t>(parse_number(gid, 10, "fsgid"));
  struct stat info{};
  if (::chown(path.c_str(), static_cast<uid_t>(-1), number) != 0 || ::stat(path.c_str(), &info) != 0 ||
      ::chmod(path.c_str(), (info.st_mode & 07777) | S_ISGID) != 0) {
    throw_errno("giving " + path + " to group " + gid);
  }
}

}  // namespace kata::storage
