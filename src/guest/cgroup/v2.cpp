#include "guest/cgroup/v2.h"

#include <csignal>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "guest/cgroup/inotify.h"
#include "guest/cgroup/parse.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/controllers.h"

namespace kata::cgroup {
namespace {

// One that refuses (a busy folder of another manager) is left: the limit that needs it says so then.
void enable_controllers(const std::string& folder) {
  if (::access((folder + "/cgroup.controllers").c_str(), R_OK) != 0) return;
  kernel::delegate_controllers(folder, [](std::string_view, const Error&) {});
}

}  // namespace

std::unique_ptr<Cgroup> make_v2(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                const std::string& path) {
  return std::make_unique<UnifiedCgroup>(executor, hierarchy, path);
}

UnifiedCgroup::UnifiedCgroup(asio::any_io_executor executor, const Hierarchy& hierarchy,
                             const std::string& path)
    : executor_(std::move(executor)), folder_(hierarchy.unified + path) {
  enable_controllers(hierarchy.unified);
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    owned_.make_parent(hierarchy.unified, path.substr(0, slash));
    enable_controllers(hierarchy.unified + path.substr(0, slash));
  }
  owned_.make(hierarchy.unified, path);
  directory_ = open_file(folder_.path(), O_RDONLY | O_DIRECTORY);
}

UnifiedCgroup::~UnifiedCgroup() {
  directory_.reset();
  owned_.try_remove();
}

void UnifiedCgroup::apply(const oci::Resources& resources) {
  apply_v2(folder_, resources);
  if (!resources.devices.empty()) filter_.replace(directory_.get(), resources.devices);
}

Awaitable<> UnifiedCgroup::wait_event(std::string key, uint64_t value) {
  FileWatch watch(executor_, folder_.file("cgroup.events"));
  for (;;) {
    const auto events = parse_keyed(folder_.read("cgroup.events"));
    const auto found = events.find(key);
    if (found != events.end() && found->second == value) co_return;
    co_await watch.wait();
  }
}

Awaitable<> UnifiedCgroup::set_frozen(bool frozen) {
  folder_.write("cgroup.freeze", frozen ? "1" : "0");
  co_await with_deadline(wait_event("frozen", frozen ? 1 : 0), kRemoveLimit,
                         (frozen ? "freezing " : "thawing ") + folder_.path());
}

Awaitable<> UnifiedCgroup::freeze() {
  return set_frozen(true);
}
Awaitable<> UnifiedCgroup::thaw() {
  return set_frozen(false);
}

Awaitable<> UnifiedCgroup::signal_all(int signal) {
  if (signal == SIGKILL && folder_.write_if_there("cgroup.kill", "1")) co_return;
  const bool was_frozen = folder_.number("cgroup.freeze") == 1;
  if (!was_frozen) co_await freeze();
  signal_each(processes(), signal);
  // A frozen process dies of SIGKILL, and only of that.
  if (!was_frozen) co_await thaw();
}

uint64_t UnifiedCgroup::oom_kills() const {
  const auto events = parse_keyed(folder_.read_if_there("memory.events").value_or(""));
  const auto found = events.find("oom_kill");
  return found == events.end() ? 0 : found->second;
}

Awaitable<> UnifiedCgroup::wait_oom() {
  FileWatch watch(executor_, folder_.file("memory.events"));
  for (;;) {
    if (take_oom_kill()) co_return;
    co_await watch.wait();
  }
}

Stats UnifiedCgroup::stats() const {
  return read_v2_stats(folder_);
}

Awaitable<> UnifiedCgroup::remove() {
  directory_.reset();
  if (owned_.try_remove()) co_return;
  const TimePoint deadline = std::chrono::steady_clock::now() + kRemoveLimit;
  co_await signal_all(SIGKILL);
  co_await with_deadline(wait_event("populated", 0), kRemoveLimit, "emptying the cgroup " + folder_.path());
  // The last process counts as gone a little before its folder can go.
  while (!owned_.try_remove()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::kDeadlineExceeded, "removing the cgroup " + folder_.path() + ": it stays busy");
    co_await pause_for(std::chrono::milliseconds(2));
  }
}

}  // namespace kata::cgroup
