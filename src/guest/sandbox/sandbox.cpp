#include "guest/sandbox/sandbox.h"

#include <csignal>
#include <utility>

#include "guest/sandbox/dns.h"
#include "guest/sandbox/folders.h"
#include "guest/sandbox/kernel_module.h"
#include "guest/sandbox/paths.h"
#include "lib/async/deadline.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

// It ends when every process in its namespace has ended.
constexpr std::chrono::seconds kHolderLimit{5};

void log_task(std::string_view task, const Error& error) {
  log::warning("sandbox task failed", {{"task", std::string(task)}, {"error", error.message()}});
}

}  // namespace

Sandbox::Record::Record(const asio::any_io_executor& executor)
    : removed(executor), watchers(executor, log_task) {}

Sandbox::Sandbox(asio::any_io_executor executor, const boot::AgentConfig& config)
    : executor_(executor), config_(config), storages_(executor), oom_(executor), tasks_(executor, log_task) {
  find_device_ = [](std::string driver, std::string) -> Awaitable<std::string> {
    throw Error(Code::kUnimplemented,
                "storage driver " + driver + ": this agent was started without devices");
    co_return std::string();
  };
  pull_image_ = [](std::string image, std::string) -> Awaitable<> {
    throw Error(Code::kUnimplemented, "pulling image " + image + ": this agent was started without");
    co_return;
  };
}

const cgroup::Hierarchy& Sandbox::hierarchy() {
  if (!hierarchy_) hierarchy_ = cgroup::Hierarchy::detect();
  return *hierarchy_;
}

storage::Context Sandbox::storage_context(const std::string& container_id) const {
  return {.container_id = container_id,
          .find_device = find_device_,
          .pull_image = pull_image_,
          .watchable = {.files = config_.watchable_files, .bytes = config_.watchable_bytes}};
}

Awaitable<> Sandbox::create(SandboxSpec spec) {
  if (exists())
    throw Error(Code::kAlreadyExists, "creating sandbox " + spec.id + ": sandbox " + id_ + " exists");
  id_ = spec.id;
  std::exception_ptr failure;
  try {
    co_await set_up(spec);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await release();
    throw to_error(failure).within("creating sandbox " + spec.id);
  }
  log::info("sandbox created", {{"sandbox", spec.id}});
}

Awaitable<> Sandbox::set_up(const SandboxSpec& spec) {
  remove_tree(kRunRoot);
  make_folders(kRunRoot);
  for (const KernelModule& module : spec.kernel_modules)
    co_await load_kernel_module(module.name, module.parameters);
  namespaces_ = create_shared_namespaces(spec.hostname);
  // They stay until the sandbox ends, whatever their `shared` says: no container owns them.
  co_await storages_.add(spec.storages, storage_context(""));
  guest_hooks_ = scan_guest_hooks(spec.guest_hook_path);
  set_up_dns(spec.dns);
}

Awaitable<> Sandbox::release() {
  remove_dns();
  co_await end_pid_holder();
  co_await storages_.clear();
  release_shared_namespaces(namespaces_);
  namespaces_ = {};
  guest_hooks_ = {};
  remove_tree(kRunRoot);
  id_.clear();
}

Awaitable<> Sandbox::end_pid_holder() {
  const auto holder = std::exchange(pid_holder_, nullptr);
  if (!holder) co_return;
  holder->signal(SIGKILL);
  try {
    co_await with_deadline(holder->wait(), kHolderLimit, "ending the shared pid namespace");
  } catch (const Error& error) {
    log::warning("holder of the shared pid namespace", {{"error", error.message()}});
  }
}

Awaitable<> Sandbox::destroy() {
  oom_.close();
  std::vector<std::string> ids;
  ids.reserve(records_.size());
  for (const auto& [id, record] : records_) ids.push_back(id);
  for (const std::string& id : ids) {
    try {
      co_await remove_container(id, Duration::zero());
    } catch (const Error& error) {
      log::warning("container not removed", {{"container", id}, {"error", error.message()}});
    }
  }
  co_await release();
  log::info("sandbox destroyed");
}

Sandbox::RecordPtr Sandbox::find_record(const std::string& id, Code missing) const {
  const auto found = records_.find(id);
  // While it is being made or taken down nobody else can use it.
  if (found == records_.end() || !found->second->container || found->second->removing)
    throw Error(missing, "container " + id + " not found");
  return found->second;
}

std::shared_ptr<container::Container> Sandbox::find_container(const std::string& id, Code missing) const {
  return find_record(id, missing)->container;
}

device::PciMap Sandbox::pci_map(const std::string& id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? device::PciMap() : found->second->pci_map;
}

std::shared_ptr<container::Process> Sandbox::find_process(const std::string& id, const std::string& exec_id,
                                                          Code missing_container) const {
  const RecordPtr record = find_record(id, missing_container);
  const auto found = record->processes.find(exec_id.empty() ? id : exec_id);
  if (found == record->processes.end() || !found->second) {
    throw Error(Code::kNotFound,
                "Process not found: " + (exec_id.empty() || exec_id == id ? "init of container " + id
                                                                          : exec_id + " in container " + id));
  }
  return found->second;
}

std::vector<std::shared_ptr<container::Container>> Sandbox::containers() const {
  std::vector<std::shared_ptr<container::Container>> all;
  for (const auto& [id, record] : records_) {
    if (record->container && !record->removing) all.push_back(record->container);
  }
  return all;
}

std::map<pid_t, std::string> Sandbox::process_ids(const std::string& id) const {
  std::map<pid_t, std::string> ids;
  const auto found = records_.find(id);
  if (found == records_.end()) return ids;
  for (const auto& [exec_id, process] : found->second->processes) {
    if (process) ids[process->pid()] = exec_id;
  }
  return ids;
}

Awaitable<> Sandbox::update_ephemeral(std::vector<storage::Storage> storages) {
  for (const storage::Storage& storage : storages) co_await storage::remount_ephemeral(storage);
}

Awaitable<> Sandbox::exec(std::string id, std::string exec_id, oci::Process process) {
  const RecordPtr record = find_record(id, Code::kNotFound);
  if (!record->processes.try_emplace(exec_id).second)
    throw Error(Code::kAlreadyExists, "exec id " + exec_id + " is in use in container " + id);
  std::shared_ptr<container::Process> started;
  std::exception_ptr failure;
  try {
    started = co_await record->container->exec(std::move(process));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    record->processes.erase(exec_id);
    std::rethrow_exception(failure);
  }
  record->processes[exec_id] = std::move(started);
}

Awaitable<int> Sandbox::wait(std::string id, std::string exec_id) {
  const RecordPtr record = find_record(id, Code::kInvalidArgument);
  const auto process = co_await wait_exit(id, exec_id, Code::kInvalidArgument);
  const int code = *process->exit_code();
  process->close_streams();
  const auto found = record->processes.find(exec_id.empty() ? id : exec_id);
  // Another waiter may have been first, and the id may already name a new process.
  if (found != record->processes.end() && found->second == process) record->processes.erase(found);
  co_return code;
}

Awaitable<> Sandbox::signal(std::string id, std::string exec_id, int number) {
  if (exec_id.empty() && number == SIGKILL) {
    const auto found = records_.find(id);
    if (found == records_.end() || !found->second->container)
      throw Error(Code::kNotFound, "Process not found: there is no container " + id);
    co_await found->second->container->signal_all(number);
    co_return;
  }
  find_process(id, exec_id, Code::kInvalidArgument)->signal(number);
}

}  // namespace kata::sandbox
