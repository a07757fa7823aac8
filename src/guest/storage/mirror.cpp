#include "guest/storage/mirror.h"

#include <cerrno>
#include <cstring>
#include <linux/openat2.h>
#include <memory>
#include <ranges>
#include <sys/syscall.h>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::storage {
namespace {

constexpr int kMaxDepth = 8;
// Folders, links and files together: a hostile share must not fill the guest's memory.
constexpr size_t kMaxEntries = 512;
constexpr size_t kMaxLink = 4096;
constexpr const char* kStaged = "new";

using Directory = std::unique_ptr<DIR, decltype([](DIR* dir) { ::closedir(dir); })>;

int64_t nanoseconds(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// Opens below `root` without following any link.
UniqueFd open_below(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* const name = path.empty() ? "." : path.c_str();
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how)));
  if (!fd) throw_errno("opening " + path + " of a watched folder");
  return fd;
}

struct Split {
  std::string folder, name;
};
Split split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {.folder = "", .name = path};
  return {.folder = path.substr(0, slash), .name = path.substr(slash + 1)};
}

std::vector<std::string> names_in(int folder) {
  UniqueFd own = open_below(folder, ".", O_RDONLY | O_DIRECTORY);
  const Directory directory(::fdopendir(own.get()));
  if (!directory) throw_errno("reading a watched folder");
  (void)own.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > kMaxEntries)
      throw Error(Code::kResourceExhausted, "a watched folder has too many entries");
  }
  return names;
}

std::string link_text(int folder, const std::string& name) {
  std::string text(kMaxLink, '\0');
  const ssize_t size = ::readlinkat(folder, name.c_str(), text.data(), text.size());
  if (size < 0) throw_errno("reading the link " + name + " of a watched folder");
  text.resize(static_cast<size_t>(size));
  return text;
}

}  // namespace

struct Mirror::Scan {
  Snapshot found;
  size_t files = 0;
  uint64_t bytes = 0;
};

Mirror::Mirror(const std::string& source, const std::string& target, const std::string& stage,
               MirrorLimits limits)
    : source_(open_file(source, O_RDONLY | O_DIRECTORY)),
      target_(open_file(target, O_RDONLY | O_DIRECTORY)),
      stage_(open_file(stage, O_RDONLY | O_DIRECTORY)),
      limits_(limits) {}

void Mirror::scan(int folder, const std::string& prefix, int depth, Scan& scan) const {
  if (depth > kMaxDepth) throw Error(Code::kResourceExhausted, "a watched folder is too deep");
  std::vector<std::string> folders;
  for (const std::string& name : names_in(folder)) {
    struct stat info{};
    // Gone since it was listed: the next look will tell.
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    Entry entry;
    entry.mode = info.st_mode;
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    if (S_ISDIR(info.st_mode)) {
      folders.push_back(name);
    } else if (S_ISREG(info.st_mode)) {
      entry.size = static_cast<uint64_t>(info.st_size);
      entry.inode = info.st_ino;
      entry.modified = nanoseconds(info.st_mtim);
      entry.changed = nanoseconds(info.st_ctim);
      scan.bytes += entry.size;
      if (++scan.files > limits_.files || scan.bytes > limits_.bytes)
        throw Error(Code::kResourceExhausted, "a watched folder has more than " +
                                                  std::to_string(limits_.files) + " files or " +
                                                  std::to_string(limits_.bytes) + " bytes");
    } else if (S_ISLNK(info.st_mode)) {
      entry.link = link_text(folder, name);
    } else {
      continue;
    }
    if (scan.found.size() >= kMaxEntries)
      throw Error(Code::kResourceExhausted, "a watched folder has too many entries");
    scan.found.emplace(prefix + name, std::move(entry));
  }
  // Links before folders: what a link names was whole when the link was read.
  for (const std::string& name : folders)
    this->scan(open_below(folder, name, O_RDONLY | O_DIRECTORY).get(), prefix + name + "/", depth + 1, scan);
}

Mirror::Snapshot Mirror::take() const {
  Scan result;
  scan(source_.get(), "", 0, result);
  return std::move(result.found);
}

void Mirror::place(const std::string& path) {
  const Split to = split(path);
  const UniqueFd folder = open_below(target_.get(), to.folder, O_RDONLY | O_DIRECTORY);
  if (::renameat(stage_.get(), kStaged, folder.get(), to.name.c_str()) != 0)
    throw_errno("placing " + path + " of a watched folder");
}

void Mirror::copy_file(const std::string& path, const Entry& entry) {
  const UniqueFd from = open_below(source_.get(), path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  const std::string content = read_all(from.get(), limits_.bytes, path);
  struct stat info{};
  // Changed while it was read: half of each would be neither.
  if (::fstat(from.get(), &info) != 0 || nanoseconds(info.st_mtim) != entry.modified ||
      content.size() != entry.size)
    throw Error(Code::kAborted, path + " of a watched folder changed while it was copied");
  const UniqueFd to(
      ::openat(stage_.get(), kStaged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!to) throw_errno("copying " + path + " of a watched folder");
  write_all(to.get(), content, path);
  const timespec times[] = {info.st_mtim, info.st_mtim};
  if (::fchown(to.get(), entry.uid, entry.gid) != 0 || ::fchmod(to.get(), entry.mode & 07777) != 0 ||
      ::futimens(to.get(), times) != 0)
    throw_errno("copying the owner and mode of " + path + " of a watched folder");
}

void Mirror::remove(const std::string& path, const Entry& entry) {
  const Split at = split(path);
  const UniqueFd folder = open_below(target_.get(), at.folder, O_RDONLY | O_DIRECTORY);
  if (::unlinkat(folder.get(), at.name.c_str(), S_ISDIR(entry.mode) ? AT_REMOVEDIR : 0) != 0 &&
      errno != ENOENT)
    throw_errno("removing " + path + " of a watched folder");
  have_.erase(path);
}

// Something of another kind is in the way: a folder and a file do not replace each other.
void Mirror::make_place(const std::string& path, const Entry& entry) {
  const auto old = have_.find(path);
  if (old == have_.end() || S_ISDIR(old->second.mode) == S_ISDIR(entry.mode)) return;
  std::vector<std::pair<std::string, Entry>> gone;
  for (auto it = have_.lower_bound(path); it != have_.end() && it->first.starts_with(path); ++it) {
    if (it->first == path || it->first.starts_with(path + "/")) gone.emplace_back(*it);
  }
  for (const auto& [name, what] : std::views::reverse(gone)) remove(name, what);
}

void Mirror::put(const std::string& path, const Entry& entry) {
  make_place(path, entry);
  ::unlinkat(stage_.get(), kStaged, 0);
  if (S_ISDIR(entry.mode)) {
    const Split at = split(path);
    const UniqueFd parent = open_below(target_.get(), at.folder, O_RDONLY | O_DIRECTORY);
    if (::mkdirat(parent.get(), at.name.c_str(), 0700) != 0 && errno != EEXIST)
      throw_errno("making the folder " + path + " of a watched folder");
    const UniqueFd made = open_below(target_.get(), path, O_RDONLY | O_DIRECTORY);
    if (::fchown(made.get(), entry.uid, entry.gid) != 0 || ::fchmod(made.get(), entry.mode & 07777) != 0)
      throw_errno("copying the owner and mode of " + path + " of a watched folder");
  } else if (S_ISLNK(entry.mode)) {
    if (::symlinkat(entry.link.c_str(), stage_.get(), kStaged) != 0 ||
        ::fchownat(stage_.get(), kStaged, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
      throw_errno("copying the link " + path + " of a watched folder");
    place(path);
  } else {
    copy_file(path, entry);
    place(path);
  }
  have_[path] = entry;
}

bool Mirror::update() {
  const Snapshot now = take();
  if (now == have_) return false;
  const auto differs = [&](const std::string& path, const Entry& entry) {
    const auto old = have_.find(path);
    return old == have_.end() || old->second != entry;
  };
  for (const auto& [path, entry] : now) {
    if (!S_ISLNK(entry.mode) && differs(path, entry)) put(path, entry);
  }
  for (const auto& [path, entry] : now) {
    if (S_ISLNK(entry.mode) && differs(path, entry)) put(path, entry);
  }
  std::vector<std::pair<std::string, Entry>> gone;
  for (const auto& [path, entry] : have_) {
    if (!now.contains(path)) gone.emplace_back(path, entry);
  }
  for (const auto& [path, entry] : std::views::reverse(gone)) remove(path, entry);
  return true;
}

}  // namespace kata::storage
