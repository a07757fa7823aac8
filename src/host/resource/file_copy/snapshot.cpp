#include "host/resource/file_copy/snapshot.h"

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::file_copy {
namespace {

// Each level holds a descriptor.
constexpr int kMaxDepth = 100;

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Entry entry_of(const struct stat& info) {
  Entry entry;
  entry.mode = info.st_mode;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  entry.device = info.st_dev;
  entry.inode = info.st_ino;
  entry.changed = nanoseconds(info.st_ctim);
  if (S_ISREG(info.st_mode)) {
    entry.size = static_cast<uint64_t>(info.st_size);
    entry.modified = nanoseconds(info.st_mtim);
  } else if (S_ISDIR(info.st_mode)) {
    // Changes with what is in it, which is looked at anyway.
    entry.changed = 0;
  }
  return entry;
}

class Look {
 public:
  Look(std::string source, const CopyLimits& limits) : source_(std::move(source)), limits_(limits) {}

  Snapshot run() {
    struct stat info{};
    if (::stat(source_.c_str(), &info) != 0) throw_errno("looking at " + source_);
    if (S_ISREG(info.st_mode)) {
      add("", entry_of(info));
    } else if (S_ISDIR(info.st_mode)) {
      UniqueFd folder(::open(source_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!folder) throw_errno("opening " + source_);
      add("", entry_of(info));
      read_folder(std::move(folder), "", 0);
    } else {
      found_.special.emplace_back();
    }
    return std::move(found_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(Code::kResourceExhausted,
                source_ + " has " + what +
                    ": without a shared file system (shared_fs = \"none\") it would be copied into the "
                    "guest's memory; use shared_fs = \"virtio-fs\" or a volume that is a disk");
  }

  void add(const std::string& path, Entry entry) {
    if (found_.entries.size() >= limits_.entries)
      refuse("more than " + std::to_string(limits_.entries) + " files and folders");
    if (entry.size > limits_.bytes || bytes_ + entry.size > limits_.bytes)
      refuse("files of more than " + std::to_string(limits_.bytes >> 20) + " MiB");
    bytes_ += entry.size;
    if (S_ISDIR(entry.mode)) found_.folders.push_back(path);
    found_.entries.emplace(path, std::move(entry));
  }

  void look(int folder, const std::string& name, const std::string& path, int depth) {
    struct stat info{};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;
      throw_errno("looking at " + source_ + "/" + path);
    }
    Entry entry = entry_of(info);
    if (S_ISLNK(info.st_mode)) {
      std::array<char, PATH_MAX> target{};
      const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
      if (size <= 0) return;
      entry.link.assign(target.data(), static_cast<size_t>(size));
      add(path, std::move(entry));
    } else if (S_ISREG(info.st_mode)) {
      add(path, std::move(entry));
    } else if (S_ISDIR(info.st_mode)) {
      UniqueFd inner(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inner && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return;
      if (!inner) throw_errno("opening " + source_ + "/" + path);
      if (depth == kMaxDepth) refuse("more than " + std::to_string(kMaxDepth) + " folders in each other");
      add(path, std::move(entry));
      read_folder(std::move(inner), path + "/", depth + 1);
    } else {
      found_.special.push_back(path);
    }
  }

  void read_folder(UniqueFd folder, const std::string& prefix, int depth) {
    const int descriptor = folder.get();
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(descriptor), ::closedir);
    if (!entries) throw_errno("reading " + source_ + "/" + prefix);
    static_cast<void>(folder.release());
    while (const dirent* next = ::readdir(entries.get())) {
      const std::string name = next->d_name;
      if (name != "." && name != "..") look(descriptor, name, prefix + name, depth);
    }
  }

  std::string source_;
  CopyLimits limits_;
  Snapshot found_;
  uint64_t bytes_ = 0;
};

}  // namespace

Snapshot take_snapshot(const std::string& source, const CopyLimits& limits) {
  return Look(source, limits).run();
}

}  // namespace kata::file_copy
