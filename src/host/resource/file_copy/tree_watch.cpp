#include "host/resource/file_copy/tree_watch.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/inotify.h>
#include <utility>

#include <boost/asio/buffer.hpp>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::file_copy {
namespace {

// Reads do not count as changes.
constexpr uint32_t kChanges = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |
                              IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

[[noreturn]] void throw_limit(const char* what, const char* setting) {
  throw Error(Code::kResourceExhausted,
              std::string("the node has no more ") + what + ": raise its sysctl " + setting);
}

}  // namespace

void TreeWatch::open() {
  if (descriptor_) return;
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd && errno == EMFILE) throw_limit("inotify instances", "fs.inotify.max_user_instances");
  if (!fd) throw_errno("watching files");
  descriptor_.emplace(executor_, fd.release());
}

TreeWatch::Added TreeWatch::set(Tree tree, const std::vector<std::string>& paths) {
  open();
  std::set<int> now;
  Added added = Added::kNothing;
  std::set<int>& before = trees_[tree];
  for (const std::string& path : paths) {
    const int watch = ::inotify_add_watch(descriptor_->native_handle(), path.c_str(), kChanges);
    if (watch < 0 && errno == ENOSPC) throw_limit("watches of files", "fs.inotify.max_user_watches");
    // Gone, or no longer a folder: its parent tells.
    if (watch < 0) continue;
    if (!before.contains(watch)) added = Added::kNew;
    now.insert(watch);
    // At once, so that an error further on leaves nothing without an owner.
    before.insert(watch);
    owners_[watch].insert(tree);
  }
  const std::set<int> all = std::exchange(before, now);
  for (const int watch : all) {
    if (!now.contains(watch)) release(watch, tree);
  }
  return added;
}

void TreeWatch::release(int watch, Tree tree) {
  const auto owner = owners_.find(watch);
  if (owner == owners_.end()) return;
  owner->second.erase(tree);
  if (!owner->second.empty()) return;
  owners_.erase(owner);
  if (descriptor_) ::inotify_rm_watch(descriptor_->native_handle(), watch);
}

void TreeWatch::remove(Tree tree) {
  const auto found = trees_.find(tree);
  if (found == trees_.end()) return;
  const std::set<int> watches = std::move(found->second);
  trees_.erase(found);
  for (const int watch : watches) release(watch, tree);
}

void TreeWatch::note(const char* events, size_t size, std::set<Tree>& trees) {
  for (size_t at = 0; at + sizeof(inotify_event) <= size;) {
    inotify_event event{};
    std::memcpy(&event, events + at, sizeof event);
    at += sizeof event + event.len;
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      for (const auto& [tree, watches] : trees_) trees.insert(tree);
      continue;
    }
    const auto owner = owners_.find(event.wd);
    if (owner == owners_.end()) continue;
    trees.insert(owner->second.begin(), owner->second.end());
    // The kernel has dropped this watch, and may give its number away.
    if ((event.mask & IN_IGNORED) == 0) continue;
    for (const Tree tree : owner->second) trees_[tree].erase(event.wd);
    owners_.erase(owner);
  }
}

Awaitable<std::set<TreeWatch::Tree>> TreeWatch::changed() {
  std::set<Tree> trees;
  std::array<char, 16384> events{};
  while (trees.empty()) {
    const size_t size = co_await descriptor_->async_read_some(asio::buffer(events), asio::use_awaitable);
    note(events.data(), size, trees);
  }
  co_return trees;
}

void TreeWatch::close() {
  descriptor_.reset();
  owners_.clear();
  trees_.clear();
}

}  // namespace kata::file_copy
