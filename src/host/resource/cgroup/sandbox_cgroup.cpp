#include "host/resource/cgroup/sandbox_cgroup.h"

#include <algorithm>
#include <cerrno>
#include <ranges>
#include <set>
#include <sstream>
#include <utility>

#include <unistd.h>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::node_cgroup {
namespace {

bool is_blank(const std::optional<std::string>& text) {
  return !text || text->find_first_not_of(" \n\t") == std::string::npos;
}

// v1's cpu.shares 2..262144 as v2's cpu.weight 1..10000, the way the OCI specification's users convert it.
uint64_t weight_of(uint64_t shares) {
  const uint64_t bounded = std::clamp<uint64_t>(shares, 2, 262144);
  return 1 + (bounded - 2) * 9999 / 262142;
}

constexpr int kRemoveTries = 100;
constexpr Duration kRemovePause = std::chrono::milliseconds(10);

uint64_t keyed_number(const std::optional<std::string>& text, const std::string& key) {
  std::istringstream words(text.value_or(""));
  uint64_t value = 0;
  for (std::string name; words >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

// Returns the folders that are busy and not somebody else's parent.
std::vector<std::string> remove_once(NodeFiles& files, const std::vector<std::string>& folders,
                                     Teardown& teardown) {
  std::vector<std::string> busy;
  for (const std::string& path : std::views::reverse(folders)) {
    try {
      files.remove_folder(path);
    } catch (const Error& error) {
      if (error.errno_value() != EBUSY) {
        teardown.failed("removing cgroup " + path, error.message());
        continue;
      }
      const auto is_parent = [&](const std::string& other) { return other.starts_with(path + "/"); };
      // A parent that other sandboxes use by now, unless it is one of a folder that is left.
      if (std::ranges::none_of(folders, is_parent) || std::ranges::any_of(busy, is_parent))
        busy.push_back(path);
    }
  }
  std::ranges::reverse(busy);
  return busy;
}

}  // namespace

SandboxCgroup::SandboxCgroup(std::shared_ptr<NodeFiles> files, kernel::CgroupLayout layout, CgroupPlan plan)
    : files_(std::move(files)), layout_(std::move(layout)), plan_(std::move(plan)) {}

std::vector<std::string> SandboxCgroup::mounts() const {
  if (unified()) return {layout_.unified};
  std::set<std::string> unique;
  for (const auto& [controller, mount] : layout_.controllers) unique.insert(mount);
  return {unique.begin(), unique.end()};
}

std::string SandboxCgroup::folder(const std::string& controller, const std::string& path) const {
  if (unified()) return layout_.unified + path;
  const auto found = layout_.controllers.find(controller);
  return found == layout_.controllers.end() ? std::string() : found->second + path;
}

std::string SandboxCgroup::cpu_folder(const std::string& controller) const {
  const bool own = unified() && !plan_.overhead.empty();
  return folder(controller, own ? plan_.sandbox + std::string(kVcpuFolder) : plan_.sandbox);
}

std::vector<std::string> SandboxCgroup::missing_folders() const {
  std::vector<std::string> missing = folders_of(plan_, layout_);
  std::erase_if(missing, [this](const std::string& path) { return files_->exists(path); });
  return missing;
}

void SandboxCgroup::create() {
  try {
    for (const std::string& path : folders_of(plan_, layout_)) {
      if (files_->make_folder(path)) made_.push_back(path);
      prepare_folder(path);
    }
  } catch (...) {
    Teardown undo("cgroup " + plan_.sandbox, [](std::string_view text) { log::warning(text); });
    remove_once(*files_, std::exchange(made_, {}), undo);
    throw;
  }
}

void SandboxCgroup::prepare_folder(const std::string& path) {
  if (!unified()) {
    const auto cpuset = layout_.controllers.find("cpuset");
    if (cpuset != layout_.controllers.end() && path.starts_with(cpuset->second + "/")) inherit_cpuset(path);
    return;
  }
  if (path.ends_with(kVcpuFolder)) {
    // First, since a parent of threaded folders hands down only what works by thread (cpu, cpuset, pids).
    files_->write(path + "/cgroup.type", "threaded");
  }
  files_->delegate(path.substr(0, path.rfind('/')));
}

void SandboxCgroup::inherit_cpuset(const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const auto inherited = files_->read(parent + file);
    if (is_blank(files_->read(path + file)) && !is_blank(inherited)) files_->write(path + file, *inherited);
  }
}

void SandboxCgroup::remember_home() {
  if (!homes_.empty()) return;
  std::istringstream lines(files_->read("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    const std::string names = line.substr(first + 1, second - first - 1);
    if (names.empty() != unified()) continue;
    const std::string mount = folder(names.substr(0, names.find(',')), "");
    if (!mount.empty()) homes_.push_back({.mount = mount, .folder = mount + path});
  }
}

// v1: thread by thread, this one by itself, because that needs no lock of the whole machine (a process needs
// one, for some 20 ms).
void SandboxCgroup::move_threads(const std::string& folder) {
  if (unified()) {
    files_->write(folder + "/cgroup.procs", std::to_string(::getpid()));
    return;
  }
  const std::vector<pid_t> threads = files_->own_threads();
  for (const pid_t thread : threads)
    files_->write(folder + "/tasks", thread == threads.front() ? "0" : std::to_string(thread));
}

void SandboxCgroup::enter_once() {
  const std::string& path = plan_.overhead.empty() ? plan_.sandbox : plan_.overhead;
  for (const std::string& mount : mounts()) move_threads(mount + path);
}

void SandboxCgroup::enter() {
  remember_home();
  const std::string context = "entering the cgroup of the sandbox";
  try {
    enter_once();
    return;
  } catch (const Error& error) {
    if (error.errno_value() != EEXIST) throw error.within(context);
  }
  try {
    enter_once();
  } catch (const Error& error) {
    throw error.within(context + " (retry after pre-existing cgroup)");
  }
}

std::vector<std::string> SandboxCgroup::vmm_entry_files() const {
  if (!unified() || plan_.overhead.empty()) return {};
  return {layout_.unified + plan_.sandbox + "/cgroup.procs"};
}

std::string SandboxCgroup::own_devices_folder() const {
  if (unified()) return {};
  const std::string where = folder("devices", plan_.overhead.empty() ? plan_.sandbox : plan_.overhead);
  return std::ranges::find(made_, where) == made_.end() ? std::string() : where;
}

void SandboxCgroup::restrict_devices(const std::vector<std::string>& rules) {
  const std::string where = own_devices_folder();
  if (where.empty()) return;
  try {
    files_->write(where + "/devices.deny", "a");
    for (const std::string& rule : rules) files_->write(where + "/devices.allow", rule);
  } catch (const Error& error) {
    // Half a list would keep the VM from its devices.
    log::warning("the sandbox's devices are not restricted", {{"error", error.message()}});
    files_->write(where + "/devices.allow", "a");
  }
}

void SandboxCgroup::write_limit(const std::string& controller, const std::string& file,
                                const std::string& value, const std::string& folder) {
  if (folder.empty() || !files_->exists(folder + "/" + file)) {
    log::warning("the node cannot limit a sandbox: its cgroup or the controller is missing",
                 {{"controller", controller}, {"file", file}, {"cgroup", plan_.sandbox}});
    return;
  }
  files_->write(folder + "/" + file, value);
}

void SandboxCgroup::apply_cpu(const NodeLimits& limits) {
  const std::string where = cpu_folder("cpu");
  if (limits.cpu_shares) {
    unified() ? write_limit("cpu", "cpu.weight", std::to_string(weight_of(*limits.cpu_shares)), where)
              : write_limit("cpu", "cpu.shares",
                            std::to_string(std::clamp<uint64_t>(*limits.cpu_shares, 2, 262144)), where);
  }
  if (!limits.cpu_quota) return;
  const std::string period = std::to_string(limits.cpu_period.value_or(100000));
  if (unified()) {
    const std::string quota = *limits.cpu_quota < 0 ? "max" : std::to_string(*limits.cpu_quota);
    write_limit("cpu", "cpu.max", quota + " " + period, where);
    return;
  }
  // No quota while the period changes: the old one may be too large or too small for the new period.
  write_limit("cpu", "cpu.cfs_quota_us", "-1", where);
  if (limits.cpu_period) write_limit("cpu", "cpu.cfs_period_us", period, where);
  if (*limits.cpu_quota >= 0)
    write_limit("cpu", "cpu.cfs_quota_us", std::to_string(*limits.cpu_quota), where);
}

void SandboxCgroup::apply_cpuset(const NodeLimits& limits) {
  if (!limits.cpus.empty()) write_limit("cpuset", "cpuset.cpus", limits.cpus, cpu_folder("cpuset"));
  if (!limits.mems.empty()) write_limit("cpuset", "cpuset.mems", limits.mems, cpu_folder("cpuset"));
}

void SandboxCgroup::apply_memory(uint64_t bytes) {
  const std::string where = folder("memory", plan_.sandbox);
  if (unified()) {
    write_limit("memory", "memory.max", bytes == 0 ? "max" : std::to_string(bytes), where);
  } else {
    write_limit("memory", "memory.limit_in_bytes", bytes == 0 ? "-1" : std::to_string(bytes), where);
  }
}

void SandboxCgroup::apply(const NodeLimits& limits) {
  apply_cpu(limits);
  apply_cpuset(limits);
  if (limits.memory_bytes) apply_memory(*limits.memory_bytes);
}

void SandboxCgroup::place_vcpus(const std::vector<pid_t>& threads) {
  if (plan_.overhead.empty()) return;
  std::vector<std::string> files;
  if (unified()) {
    files.push_back(layout_.unified + plan_.sandbox + std::string(kVcpuFolder) + "/cgroup.threads");
  } else {
    // Memory belongs to the process, not to its threads.
    for (const char* controller : {"cpu", "cpuacct", "cpuset"}) {
      const std::string where = folder(controller, plan_.sandbox);
      if (!where.empty()) files.push_back(where + "/tasks");
    }
  }
  for (const std::string& file : files) {
    for (const pid_t thread : threads) files_->write(file, std::to_string(thread));
  }
}

uint64_t SandboxCgroup::oom_kills() const {
  uint64_t kills = 0;
  for (const std::string& path : {plan_.sandbox, plan_.overhead}) {
    if (path.empty()) continue;
    const std::string where = folder("memory", path);
    if (where.empty()) continue;
    kills += keyed_number(files_->read(where + (unified() ? "/memory.events" : "/memory.oom_control")),
                          "oom_kill");
  }
  return kills;
}

Awaitable<> SandboxCgroup::release(Teardown& teardown) {
  for (const Home& home : std::exchange(homes_, {})) {
    teardown.step("leaving the sandbox's cgroup",
                  [&] { move_threads(files_->exists(home.folder) ? home.folder : home.mount); });
  }
  co_await remove(*files_, std::exchange(made_, {}), teardown);
  // The folders that only our sandboxes share: the last one to leave takes them away, whoever made them.
  for (const std::string& path : {plan_.sandbox, plan_.overhead}) {
    const std::string parent = path.substr(0, path.find('/', 1));
    if (parent != "/kata_sandboxed_pod" && parent != "/kata_overhead") continue;
    for (const std::string& mount : mounts()) {
      try {
        files_->remove_folder(mount + parent);
      } catch (const Error&) {
        continue;  // others are in it
      }
    }
  }
}

Awaitable<> SandboxCgroup::remove(NodeFiles& files, std::vector<std::string> folders, Teardown& teardown) {
  // v1 has no event for the last process's end.
  for (int i = 0; i < kRemoveTries && !folders.empty(); ++i) {
    if (i != 0) co_await pause_for(kRemovePause);
    folders = remove_once(files, folders, teardown);
  }
  for (const std::string& path : folders)
    teardown.failed("removing cgroup " + path, "processes are still in it");
}

}  // namespace kata::node_cgroup
