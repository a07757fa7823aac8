#include "guest/cgroup/v1.h"

#include <csignal>
#include <sys/eventfd.h>

#include <fcntl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "guest/cgroup/parse.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::cgroup {
namespace {

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \n\t") == std::string::npos;
}

// A new cpuset has neither CPUs nor memory nodes and takes no process: from the top down it gets its
// parent's.
void inherit_cpuset(const std::string& mount, const std::string& path) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    std::string parent = mount;
    for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
      const std::string current = mount + path.substr(0, slash);
      if (is_blank(Folder(current).read(file))) Folder(current).write(file, Folder(parent).read(file));
      if (slash == std::string::npos) break;
      parent = current;
    }
  }
}

}  // namespace

std::unique_ptr<Cgroup> make_v1(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                const std::string& path) {
  return std::make_unique<LegacyCgroup>(executor, hierarchy, path);
}

LegacyCgroup::LegacyCgroup(asio::any_io_executor executor, const Hierarchy& hierarchy,
                           const std::string& path)
    : executor_(std::move(executor)), path_(path) {
  try {
    for (const auto& [controller, mount] : hierarchy.controllers) {
      if (mounts_.insert(mount).second) owned_.make(mount, path);
      if (controller == "cpuset") inherit_cpuset(mount, path);
      folders_.emplace(controller, Folder(mount + path));
    }
  } catch (...) {
    owned_.try_remove();
    throw;
  }
}

LegacyCgroup::~LegacyCgroup() {
  owned_.try_remove();
}

const Folder* LegacyCgroup::folder(const std::string& controller) const {
  const auto found = folders_.find(controller);
  return found == folders_.end() ? nullptr : &found->second;
}

void LegacyCgroup::apply(const oci::Resources& resources) {
  apply_v1(folders_, resources);
}

std::vector<std::string> LegacyCgroup::entry_files() const {
  std::vector<std::string> files;
  files.reserve(mounts_.size());
  // "tasks", not "cgroup.procs": a thread that enters by itself needs no lock of the whole machine.
  for (const std::string& mount : mounts_) files.push_back(mount + path_ + "/tasks");
  return files;
}

std::map<std::string, std::string> LegacyCgroup::folders() const {
  std::map<std::string, std::string> list;
  for (const std::string& mount : mounts_) list.emplace(mount.substr(mount.rfind('/') + 1), mount + path_);
  return list;
}

std::vector<pid_t> LegacyCgroup::processes() const {
  for (const char* controller : {"freezer", "pids", "memory", "cpu"}) {
    if (const Folder* found = folder(controller)) return found->processes();
  }
  return folders_.empty() ? std::vector<pid_t>{} : folders_.begin()->second.processes();
}

// There is no event for it: the state is FREEZING until the last task has stopped, and reading it moves it
// on.
Awaitable<> LegacyCgroup::set_freezer(std::string state) {
  const Folder* freezer = folder("freezer");
  if (freezer == nullptr) throw Error(Code::kFailedPrecondition, "the guest has no freezer cgroup");
  const TimePoint deadline = std::chrono::steady_clock::now() + kRemoveLimit;
  for (;;) {
    // Again: a task that was born meanwhile may have been missed.
    freezer->write("freezer.state", state);
    if (freezer->read("freezer.state").starts_with(state)) co_return;
    if (std::chrono::steady_clock::now() > deadline) {
      freezer->write("freezer.state", "THAWED");
      throw Error(Code::kDeadlineExceeded,
                  "bringing " + freezer->path() + " to " + state + ": not done in time");
    }
    co_await pause_for(std::chrono::milliseconds(1));
  }
}

Awaitable<> LegacyCgroup::freeze() {
  return set_freezer("FROZEN");
}
Awaitable<> LegacyCgroup::thaw() {
  return set_freezer("THAWED");
}

Awaitable<> LegacyCgroup::signal_all(int signal) {
  const Folder* freezer = folder("freezer");
  if (freezer == nullptr) {
    signal_each(processes(), signal);
    co_return;
  }
  const bool was_frozen = freezer->read_if_there("freezer.state").value_or("").starts_with("FROZEN");
  if (!was_frozen) co_await freeze();
  signal_each(processes(), signal);
  // Frozen tasks of v1 do not even die.
  if (!was_frozen || signal == SIGKILL) co_await thaw();
}

uint64_t LegacyCgroup::oom_kills() const {
  const Folder* memory = folder("memory");
  const auto values =
      parse_keyed(memory == nullptr ? "" : memory->read_if_there("memory.oom_control").value_or(""));
  const auto kills = values.find("oom_kill");
  return kills == values.end() ? 0 : kills->second;
}

// The kernel writes into an eventfd when an OOM begins, just before it kills and counts.
Awaitable<> LegacyCgroup::wait_oom() {
  const Folder* memory = folder("memory");
  if (memory == nullptr) throw Error(Code::kFailedPrecondition, "the guest has no memory cgroup");
  const UniqueFd control = open_file(memory->file("memory.oom_control"), O_RDONLY);
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) throw_errno("making an eventfd");
  memory->write("cgroup.event_control", std::to_string(event.get()) + " " + std::to_string(control.get()));
  asio::posix::stream_descriptor descriptor(executor_, event.release());
  int looks = 0;
  for (;;) {
    if (take_oom_kill()) co_return;
    if (looks > 0) {
      --looks;
      co_await pause_for(std::chrono::milliseconds(5));
      continue;
    }
    uint64_t count = 0;
    co_await descriptor.async_read_some(asio::buffer(&count, sizeof count), asio::use_awaitable);
    // The folder's end is an event too.
    if (!memory->has("memory.oom_control")) throw Error(Code::kNotFound, memory->path() + " is gone");
    looks = 100;
  }
}

Stats LegacyCgroup::stats() const {
  return read_v1_stats(folders_);
}

Awaitable<> LegacyCgroup::remove() {
  if (owned_.try_remove()) co_return;
  const TimePoint deadline = std::chrono::steady_clock::now() + kRemoveLimit;
  for (;;) {
    co_await signal_all(SIGKILL);
    co_await wait_for_exit(processes(), deadline);
    if (owned_.try_remove()) co_return;
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::kDeadlineExceeded, "removing the cgroup " + path_ + ": it stays busy");
    co_await pause_for(std::chrono::milliseconds(2));
  }
}

}  // namespace kata::cgroup
