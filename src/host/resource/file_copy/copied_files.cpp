#include "host/resource/file_copy/copied_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <sys/stat.h>
#include <utility>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::file_copy {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

// Changes come in bursts.
constexpr Duration kBurst = 100ms;
// A file system that does not answer its first call in this time is taken for dead.
constexpr Duration kLookLimit = 10s;
// New folders that come faster than they can be watched leave the rest to the next look.
constexpr int kLooks = 3;

// What a container runtime and a kubelet make for each container, writable or not.
bool is_managed(const share_fs::SharedPath& path) {
  constexpr std::array<std::string_view, 4> kPlaces = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
                                                       "/dev/termination-log"};
  if (std::ranges::find(kPlaces, path.destination) != kPlaces.end()) return true;
  for (const std::string_view kind : {"configmap", "secret", "projected", "downward-api"}) {
    if (path.source.find("/kubernetes.io~" + std::string(kind) + "/") != std::string::npos) return true;
  }
  return false;
}

std::string guest_place(const share_fs::SharedPath& path) {
  return std::string(share_fs::kGuestMountPoint) +
         share_fs::unique_name(path.container_id, 16, path.destination);
}

}  // namespace

CopiedFiles::CopiedFiles(asio::any_io_executor executor, std::unique_ptr<GuestFiles> files, CopyLimits limits)
    : executor_(std::move(executor)),
      files_(std::move(files)),
      limits_(limits),
      watch_(executor_),
      released_(executor_),
      tasks_(executor_, [](std::string_view task, const Error& error) {
        log::warning("following the node's files", {{"task", std::string(task)}, {"error", error.message()}});
      }) {}

Awaitable<> CopiedFiles::prepare() {
  co_return;
}

std::string CopiedFiles::share_rootfs(const std::string& container_id, const std::string& source) {
  throw Error(Code::kFailedPrecondition,
              "root file system " + source + " of container " + container_id +
                  " is a folder, and the guest has no shared file system (shared_fs = \"none\")");
}

Awaitable<std::string> CopiedFiles::share_foreign_rootfs(std::string container_id, std::string source) {
  co_return share_rootfs(container_id, source);
}

CopiedFiles::TreePtr CopiedFiles::find_or_make(const share_fs::SharedPath& path) {
  TreePtr& tree = by_source_[path.source];
  if (!tree) {
    tree = std::make_shared<Tree>(executor_, next_id_++, TreeCopy(path.source, guest_place(path), *files_));
  }
  return tree;
}

Awaitable<std::optional<std::string>> CopiedFiles::share_path(share_fs::SharedPath path) {
  const TreePtr tree = find_or_make(path);
  ++tree->users;
  std::exception_ptr failure;
  try {
    const auto lock = co_await tree->mutex.lock();
    if (!tree->copied) co_await copy_first(tree);
    tree->copied = true;
  } catch (...) {
    failure = std::current_exception();
  }
  const bool nothing = !failure && tree->copy.empty();
  if (nothing) {
    log::warning("mount left out: sockets, devices and pipes of the node cannot be copied into the guest",
                 {{"container", path.container_id}, {"mount", path.destination}, {"source", path.source}});
  }
  if (failure || nothing) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    try {
      if (--tree->users == 0) co_await drop(tree);
    } catch (const Error& error) {
      log::warning("taking a copy back", {{"source", path.source}, {"error", error.message()}});
    }
    if (failure) std::rethrow_exception(failure);
    co_return std::nullopt;
  }
  if (path.access == share_fs::ShareTree::Access::kReadWrite && !is_managed(path) &&
      !std::exchange(tree->warned_writable, true)) {
    log::warning(
        "what is written into this mount stays in the guest: the guest has a copy of the node's files",
        {{"container", path.container_id}, {"mount", path.destination}, {"source", path.source}});
  }
  co_return tree->copy.target();
}

Awaitable<> CopiedFiles::copy_first(TreePtr tree) {
  // Any file system may be behind it.
  auto touch = [source = tree->copy.source()] {
    struct stat info{};
    if (::stat(source.c_str(), &info) != 0) throw_errno("looking at " + source);
  };
  co_await run_in_child(std::move(touch), kLookLimit, "looking at " + tree->copy.source());
  co_await bring_up_to_date(tree);
}

// With the tree's mutex held.
Awaitable<> CopiedFiles::bring_up_to_date(TreePtr tree) {
  tree->dirty = false;
  const Snapshot seen = co_await look(tree);
  if (seen.special.size() != std::exchange(tree->special, seen.special.size()) && !seen.special.empty() &&
      !seen.entries.empty()) {
    log::warning("sockets, devices and pipes of the node are not copied into the guest",
                 {{"source", tree->copy.source()},
                  {"first", seen.special.front()},
                  {"count", std::to_string(seen.special.size())}});
  }
  if (co_await tree->copy.update(seen) == TreeCopy::Outcome::kUnsettled) mark(*tree);
}

Awaitable<Snapshot> CopiedFiles::look(TreePtr tree) {
  for (int count = 1;; ++count) {
    auto take = [source = tree->copy.source(), limits = limits_] { return take_snapshot(source, limits); };
    Snapshot seen = co_await pool_.run(std::move(take));
    // What was not watched before may have changed since.
    if (tree->gone || !watch(*tree, seen)) co_return seen;
    if (count == kLooks) {
      mark(*tree);
      co_return seen;
    }
  }
}

// Whether something is watched now that was not before.
bool CopiedFiles::watch(Tree& tree, const Snapshot& seen) {
  if (!can_watch_) return false;
  std::vector<std::string> paths;
  for (const std::string& folder : seen.folders) paths.push_back(tree.copy.source() + "/" + folder);
  if (paths.empty()) paths.push_back(tree.copy.source());
  TreeWatch::Added added = TreeWatch::Added::kNothing;
  try {
    added = watch_.set(tree.id, paths);
  } catch (const Error& error) {
    can_watch_ = false;
    log::warning("changes on the node do not reach the guest from here on",
                 {{"source", tree.copy.source()}, {"error", error.message()}});
    return false;
  }
  if (!std::exchange(waiting_, true)) tasks_.spawn("changes", wait_for_changes());
  return added == TreeWatch::Added::kNew;
}

Awaitable<> CopiedFiles::wait_for_changes() {
  for (;;) {
    const std::set<TreeWatch::Tree> changed = co_await watch_.changed();
    for (const auto& [source, tree] : by_source_) {
      if (changed.contains(tree->id)) mark(*tree);
    }
  }
}

void CopiedFiles::mark(Tree& tree) {
  tree.dirty = true;
  if (tree.gone || std::exchange(tree.followed, true)) return;
  tasks_.spawn(tree.copy.source(), follow(by_source_.at(tree.copy.source())));
}

Awaitable<> CopiedFiles::follow(TreePtr tree) {
  Duration pause = kBurst;
  while (tree->dirty && !tree->gone) {
    co_await pause_for(pause);
    const auto lock = co_await tree->mutex.lock();
    // A first copy that failed is nobody's.
    if (tree->gone || !tree->copied) break;
    const TimePoint begin = std::chrono::steady_clock::now();
    try {
      co_await bring_up_to_date(tree);
    } catch (const Error& error) {
      if (error.code() == Code::kUnavailable) break;
      log::warning("the guest keeps its copy as it was",
                   {{"source", tree->copy.source()}, {"error", error.message()}});
    }
    pause = std::max<Duration>(kBurst, std::chrono::steady_clock::now() - begin);
  }
  tree->followed = false;
}

Awaitable<> CopiedFiles::unshare_path(std::string guest_path) {
  const auto found = std::ranges::find_if(
      by_source_, [&](const auto& entry) { return entry.second->copy.target() == guest_path; });
  if (found == by_source_.end()) co_return;
  const TreePtr tree = found->second;
  if (--tree->users == 0) co_await drop(tree);
}

// Its last user has left. Nobody finds it from here on.
Awaitable<> CopiedFiles::drop(TreePtr tree) {
  tree->gone = true;
  by_source_.erase(tree->copy.source());
  watch_.remove(tree->id);
  const auto lock = co_await tree->mutex.lock();
  watch_.remove(tree->id);
  try {
    co_await tree->copy.remove();
  } catch (const Error& error) {
    // Nothing to clean in a guest that is gone.
    if (error.code() != Code::kUnavailable) throw;
  }
}

Awaitable<std::string> CopiedFiles::daemon_end() {
  co_await released_.wait();
  co_return std::string();
}

Awaitable<> CopiedFiles::release() {
  tasks_.cancel();
  co_await tasks_.join();
  for (const auto& [source, tree] : std::exchange(by_source_, {})) tree->gone = true;
  watch_.close();
  released_.set();
}

}  // namespace kata::file_copy
