#include "guest/cgroup/cgroup_base.h"

#include <cerrno>
#include <csignal>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"

namespace kata::cgroup {
namespace {

UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

Awaitable<> wait_one(UniqueFd pidfd) {
  asio::posix::stream_descriptor descriptor(co_await asio::this_coro::executor, pidfd.release());
  co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
}

}  // namespace

std::unique_ptr<Cgroup> Cgroup::create(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                       const std::string& path) {
  return with_context("making the cgroup " + path, [&] {
    return hierarchy.version == Version::kV2 ? make_v2(executor, hierarchy, path)
                                             : make_v1(executor, hierarchy, path);
  });
}

bool Cgroup::take_oom_kill() {
  const uint64_t now = oom_kills();
  if (now <= told_oom_kills_) return false;
  told_oom_kills_ = now;
  return true;
}

void OwnedFolders::make(const std::string& mount, const std::string& path) {
  const std::string leaf = mount + path;
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    make_parent(mount, path.substr(0, slash));
  }
  if (::mkdir(leaf.c_str(), 0755) != 0) {
    if (errno != EEXIST) throw_errno("making " + leaf);
    if (!Folder(leaf).processes().empty()) throw Error(Code::kAlreadyExists, leaf + " is in use");
  }
  leaves_.push_back(leaf);
}

void OwnedFolders::make_parent(const std::string& mount, const std::string& path) {
  const std::string parent = mount + path;
  if (::mkdir(parent.c_str(), 0755) == 0) {
    parents_.push_back(parent);
  } else if (errno != EEXIST) {
    throw_errno("making " + parent);
  }
}

bool OwnedFolders::try_remove() {
  std::vector<std::string> left;
  for (const std::string& leaf : leaves_) {
    bool gone = true;
    for (const std::string& folder : Folder(leaf).tree())
      gone = (::rmdir(folder.c_str()) == 0 || errno == ENOENT) && gone;
    if (!gone) left.push_back(leaf);
  }
  leaves_ = std::move(left);
  if (!leaves_.empty()) return false;
  while (!parents_.empty()) {
    // Not empty: another container's now.
    ::rmdir(parents_.back().c_str());
    parents_.pop_back();
  }
  return true;
}

Awaitable<> wait_for_exit(const std::vector<pid_t>& pids, TimePoint deadline) {
  for (const pid_t pid : pids) {
    UniqueFd pidfd = open_pidfd(pid);
    if (!pidfd) continue;
    const auto left = deadline - std::chrono::steady_clock::now();
    co_await with_deadline(wait_one(std::move(pidfd)), left,
                           "waiting for the end of process " + std::to_string(pid));
  }
}

void signal_each(const std::vector<pid_t>& pids, int signal) {
  for (const pid_t pid : pids) {
    const UniqueFd pidfd = open_pidfd(pid);
    if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
  }
}

}  // namespace kata::cgroup
