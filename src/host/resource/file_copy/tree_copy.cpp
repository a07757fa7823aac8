#include "host/resource/file_copy/tree_copy.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

namespace kata::file_copy {
namespace {

// A change within the kernel's clock tick of a look cannot be told from what the look saw.
constexpr int64_t kTick = 50'000'000;
constexpr size_t kPathsOfARequest = 1000;
constexpr int kTries = 3;

int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

bool same_type(const Entry& a, const Entry& b) {
  return (a.mode & S_IFMT) == (b.mode & S_IFMT);
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// Whoever else can write there may have laid a link since the look: none is followed.
UniqueFd open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

// Up to `size` bytes; less at the end of the file.
std::string read_chunk(int file, uint64_t offset, uint64_t size, const std::string& path) {
  std::string data(size, '\0');
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n =
        ::pread(file, data.data() + done, data.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("reading " + path);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  data.resize(done);
  return data;
}

agent::FileChunk chunk_of(const Entry& entry) {
  agent::FileChunk chunk;
  chunk.mode = entry.mode;
  chunk.uid = entry.uid;
  chunk.gid = entry.gid;
  return chunk;
}

}  // namespace

Awaitable<TreeCopy::Outcome> TreeCopy::update(const Snapshot& wanted) {
  unsettled_ = false;
  std::vector<std::string> changed_type;
  for (const auto& [path, entry] : have_) {
    const auto found = wanted.entries.find(path);
    if (found != wanted.entries.end() && !same_type(entry, found->second)) changed_type.push_back(path);
  }
  co_await remove_paths(std::move(changed_type));
  co_await put_all(wanted);
  co_await restore_owners();
  co_await remove_paths(superfluous(wanted));
  co_return unsettled_ ? Outcome::kUnsettled : Outcome::kSettled;
}

Awaitable<> TreeCopy::put_all(const Snapshot& wanted) {
  const auto differs = [this](const std::string& path, const Entry& entry) {
    const auto found = have_.find(path);
    return found == have_.end() || found->second != entry;
  };
  UniqueFd root;
  for (const auto& [path, entry] : wanted.entries) {
    if (S_ISLNK(entry.mode) || !differs(path, entry)) continue;
    if (S_ISDIR(entry.mode)) {
      co_await put_folder(path, entry);
      continue;
    }
    if (!root) root = UniqueFd(::open(source_.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!root) throw_errno("opening " + source_);
    co_await put_file(root.get(), path, entry);
  }
  for (const auto& [path, entry] : wanted.entries) {
    if (!S_ISLNK(entry.mode) || !differs(path, entry)) continue;
    agent::FileChunk chunk = chunk_of(entry);
    chunk.path = guest_path(path);
    chunk.data = entry.link;
    co_await files_->put(std::move(chunk));
    disturbed_.insert(parent_of(path));
    have_[path] = entry;
  }
}

Awaitable<> TreeCopy::put_folder(const std::string& path, const Entry& entry) {
  agent::FileChunk chunk = chunk_of(entry);
  chunk.path = guest_path(path);
  co_await files_->put(std::move(chunk));
  if (!path.empty()) disturbed_.insert(parent_of(path));
  have_[path] = entry;
}

// CopyFile gives the folder above the owner of what it puts there.
Awaitable<> TreeCopy::restore_owners() {
  for (const std::string& path : std::exchange(disturbed_, {})) {
    const auto found = have_.find(path);
    if (found == have_.end() || !S_ISDIR(found->second.mode)) continue;
    agent::FileChunk chunk = chunk_of(found->second);
    chunk.path = guest_path(path);
    co_await files_->put(std::move(chunk));
  }
}

Awaitable<> TreeCopy::put_file(int root, const std::string& path, const Entry& entry) {
  if (!path.empty()) disturbed_.insert(parent_of(path));
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const UniqueFd file = path.empty() ? UniqueFd(::dup(root)) : open_below(root, path);
    struct stat info{};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      // Gone, or another thing by now: the next look tells.
      unsettled_ = true;
      co_return;
    }
    Entry sent = entry;
    sent.size = static_cast<uint64_t>(info.st_size);
    if (!co_await send_content(file.get(), path, sent)) continue;
    const bool old_enough = now() - std::max(entry.changed, entry.modified) > kTick;
    struct stat after{};
    const bool still = ::fstat(file.get(), &after) == 0 && after.st_size == info.st_size &&
                       after.st_mtim.tv_sec == info.st_mtim.tv_sec &&
                       after.st_mtim.tv_nsec == info.st_mtim.tv_nsec && sent.size == entry.size;
    if (!still) unsettled_ = true;
    // An entry that no look equals is put again with the next one.
    if (!still || !old_enough) sent.changed = -1;
    have_[path] = std::move(sent);
    co_return;
  }
  log::warning("file became shorter each time it was copied; the next change of it is followed",
               {{"file", source_ + "/" + path}});
  unsettled_ = true;
}

// False when the file became shorter meanwhile.
Awaitable<bool> TreeCopy::send_content(int file, const std::string& path, const Entry& entry) {
  uint64_t offset = 0;
  do {
    const uint64_t size = std::min(chunk_size_, entry.size - offset);
    agent::FileChunk chunk = chunk_of(entry);
    chunk.path = guest_path(path);
    chunk.file_size = entry.size;
    chunk.offset = offset;
    chunk.data = read_chunk(file, offset, size, source_ + "/" + path);
    if (chunk.data.size() < size) co_return false;
    co_await send(path, std::move(chunk));
    offset += size;
  } while (offset < entry.size);
  co_return true;
}

// A mount of a file shows one inode: a new content goes into it.
Awaitable<> TreeCopy::send(const std::string& path, agent::FileChunk chunk) {
  if (path.empty() && can_rewrite_ && have_.contains(path)) {
    agent::FileChunk again = chunk;
    can_rewrite_ = co_await files_->rewrite(std::move(again));
    if (can_rewrite_) co_return;
    log::warning("the guest's agent cannot change files in place: the container keeps the old content",
                 {{"file", source_}});
  }
  co_await files_->put(std::move(chunk));
}

std::vector<std::string> TreeCopy::superfluous(const Snapshot& wanted) const {
  std::vector<std::string> paths;
  for (const auto& [path, entry] : have_) {
    if (!wanted.entries.contains(path)) paths.push_back(path);
  }
  return paths;
}

// Says only the topmost of what lies in each other, and forgets all of it.
Awaitable<> TreeCopy::remove_paths(std::vector<std::string> paths) {
  std::set<std::string> gone(paths.begin(), paths.end());
  std::vector<std::string> request;
  for (const std::string& path : paths) {
    bool covered = false;
    for (std::string above = path; !above.empty() && !covered;) {
      above = parent_of(above);
      covered = above != path && gone.contains(above);
    }
    if (!covered) request.push_back(path);
  }
  while (!request.empty()) {
    const size_t count = std::min(request.size(), kPathsOfARequest);
    std::vector<std::string> part;
    for (size_t i = request.size() - count; i < request.size(); ++i) part.push_back(guest_path(request[i]));
    if (can_remove_ && !co_await files_->remove(std::move(part))) {
      can_remove_ = false;
      log::warning("the guest's agent cannot remove files: what is deleted on the node stays in the guest",
                   {{"source", source_}});
    }
    for (size_t i = request.size() - count; i < request.size(); ++i) forget(request[i]);
    request.resize(request.size() - count);
  }
}

void TreeCopy::forget(const std::string& path) {
  if (path.empty()) return have_.clear();
  have_.erase(path);
  const std::string below = path + "/";
  auto next = have_.lower_bound(below);
  while (next != have_.end() && next->first.starts_with(below)) next = have_.erase(next);
}

Awaitable<> TreeCopy::remove() {
  have_.clear();
  std::vector<std::string> paths{target_};
  if (can_remove_) can_remove_ = co_await files_->remove(std::move(paths));
}

}  // namespace kata::file_copy
