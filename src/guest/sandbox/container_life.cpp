// How a sandbox makes, starts and removes its containers.
#include <algorithm>
#include <chrono>

#include "guest/container/pid_holder.h"
#include "guest/sandbox/folders.h"
#include "guest/sandbox/paths.h"
#include "guest/sandbox/sandbox.h"
#include "lib/async/deadline.h"
#include "lib/log/log.h"
#include "lib/oci/pod_annotations.h"

namespace kata::sandbox {
namespace {

// Which of the pod's containers this is, as containerd and CRI-O note it.
constexpr const char* kContainerName = "io.kubernetes.cri.container-name";

// Pipes of the standard streams unless the configuration gives a size: a writer goes on while a chunk is on
// its way to the host. The kernel takes memory only for what waits in them.
constexpr uint32_t kPipeSize = 256 * 1024;

constexpr std::chrono::seconds kOwnWatchDelay{1};

void set_namespace(oci::Linux& config, const std::string& type, const std::string& path) {
  for (oci::Namespace& entry : config.namespaces) {
    if (entry.type == type) entry.path = path;
  }
}

std::string pid_namespace_of(pid_t pid) {
  return "/proc/" + std::to_string(pid) + "/ns/pid";
}

}  // namespace

std::string Sandbox::shared_pid_namespace(const std::string& id) {
  // The sandbox's own container holds the shared namespace, and reaps in it.
  if (id == id_) return {};
  const auto own = records_.find(id_);
  pid_t holder = 0;
  if (own != records_.end() && own->second->container && !own->second->removing) {
    holder = own->second->container->init()->pid();
  } else {
    if (!pid_holder_ || pid_holder_->status())
      pid_holder_ = ChildProcess::adopt(executor_, container::start_pid_holder().pid);
    holder = pid_holder_->pid();
  }
  return pid_namespace_of(holder);
}

void Sandbox::place_in_namespaces(ContainerSpec& spec) {
  if (!spec.spec.linux_config) spec.spec.linux_config.emplace();
  oci::Linux& config = *spec.spec.linux_config;
  set_namespace(config, "ipc", namespaces_.ipc);
  set_namespace(config, "uts", namespaces_.uts);
  // The VM's network is the pod's.
  std::erase_if(config.namespaces,
                [](const oci::Namespace& n) { return n.type == "pid" || n.type == "network"; });
  oci::Namespace pid{.type = "pid", .path = {}};
  const auto target = spec.spec.annotations.find(oci::kPidTarget);
  if (target != spec.spec.annotations.end()) {
    pid.path = pid_namespace_of(find_container(target->second, Code::kNotFound)->init()->pid());
  } else if (spec.sandbox_pidns) {
    pid.path = shared_pid_namespace(spec.id);
  }
  config.namespaces.push_back(std::move(pid));
  // The shared namespace has the sandbox's name.
  if (!namespaces_.uts.empty()) spec.spec.hostname.clear();
}

Awaitable<> Sandbox::create_container(ContainerSpec spec) {
  const std::string id = spec.id;
  const auto record = std::make_shared<Record>(executor_);
  if (!records_.try_emplace(id, record).second)
    throw Error(Code::kAlreadyExists, "creating container " + id + ": the id is in use");
  std::exception_ptr failure;
  try {
    co_await build(record, spec);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await storages_.release(record->mount_points);
    remove_tree(bundle_of(id));
    records_.erase(id);
    record->removed.set();
    throw to_error(failure).within("creating container " + id);
  }
  record->processes[id] = record->container->init();
  log::info("container created", {{"container", id}});
}

Awaitable<> Sandbox::build(RecordPtr record, ContainerSpec& spec) {
  if (!spec.spec.root || spec.spec.root->path.empty())
    throw Error(Code::kInvalidArgument, "OCI.Root.Path is empty");
  if (!spec.spec.process || spec.spec.process->args.empty())
    throw Error(Code::kInvalidArgument, "OCI.Process.Args is empty");
  make_folders(bundle_of(spec.id));
  if (spec.prepare_devices) record->pci_map = co_await spec.prepare_devices(spec.spec);
  record->mount_points = co_await storages_.add(std::move(spec.storages), storage_context(spec.id));
  place_in_namespaces(spec);
  append_guest_hooks(guest_hooks_, spec.spec.hooks);
  container::LaunchSpec launch;
  launch.id = spec.id;
  launch.rootfs = spec.spec.root->path;
  launch.bundle = bundle_of(spec.id);
  launch.pipe_size = config_.container_pipe_size != 0 ? config_.container_pipe_size : kPipeSize;
  launch.spec = std::move(spec.spec);
  record->container = co_await container::Container::create(hierarchy(), std::move(launch));
  co_await add_shared_mounts(record, spec);
}

std::shared_ptr<container::Container> Sandbox::find_named(const std::string& name) const {
  for (const auto& [id, record] : records_) {
    if (!record->container) continue;
    const auto& annotations = record->container->spec().annotations;
    const auto found = annotations.find(kContainerName);
    if (found != annotations.end() && found->second == name) return record->container;
  }
  return nullptr;
}

Awaitable<> Sandbox::add_shared_mounts(RecordPtr record, const ContainerSpec& spec) {
  std::exception_ptr failure;
  try {
    for (const SharedMount& mount : spec.shared_mounts) {
      const auto source = find_named(mount.source_container);
      if (!source) {
        log::warning("shared mount skipped: no such container",
                     {{"container", spec.id}, {"mount", mount.name}, {"source", mount.source_container}});
        continue;
      }
      co_await share_mount(mount, source->init()->pid(), record->container->init()->pid());
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await record->container->destroy();
  std::rethrow_exception(failure);
}

Awaitable<> Sandbox::watch_oom(std::string id, std::shared_ptr<container::Container> container) {
  // A pod's pause container needs no watch, by contract; one that is its own sandbox does. Its start is not
  // made longer by it: what happens meanwhile is seen then, or at the container's end.
  if (id == id_) co_await pause_for(kOwnWatchDelay);
  for (;;) {
    co_await container->wait_oom();
    log::info("OOM kill", {{"container", id}});
    oom_.push(id);
  }
}

Awaitable<std::shared_ptr<container::Process>> Sandbox::wait_exit(std::string id, std::string exec_id,
                                                                  Code missing_container) {
  const RecordPtr record = find_record(id, missing_container);
  const auto process = find_process(id, exec_id, missing_container);
  co_await process->wait();
  // The kernel counts a kill before the process is gone; the watcher may not have been told yet.
  if (!record->removing && record->watchers.size() > 0 && record->container->take_oom_kill()) {
    log::info("OOM kill", {{"container", id}});
    oom_.push(id);
  }
  co_await oom_.handed_over();
  co_return process;
}

Awaitable<> Sandbox::start_container(std::string id) {
  const RecordPtr record = find_record(id, Code::kNotFound);
  if (record->watchers.size() == 0)
    record->watchers.spawn("OOM watch of " + id, watch_oom(id, record->container));
  co_await record->container->start();
  log::info("container started", {{"container", id}});
}

Awaitable<> Sandbox::tear_down(std::string id, RecordPtr record) {
  record->watchers.cancel();
  co_await record->watchers.join();
  try {
    co_await record->container->destroy();
  } catch (const Error& error) {
    log::warning("container not destroyed cleanly", {{"container", id}, {"error", error.message()}});
  }
  for (const auto& [exec_id, process] : record->processes) {
    if (process) process->close_streams();
  }
  record->processes.clear();
  co_await storages_.release(record->mount_points);
  remove_tree(bundle_of(id));
  records_.erase(id);
  record->removed.set();
  log::info("container removed", {{"container", id}});
}

Awaitable<> Sandbox::remove_container(std::string id, Duration limit) {
  const auto found = records_.find(id);
  if (found == records_.end() || !found->second->container)
    throw Error(Code::kNotFound, "container " + id + " not found");
  const RecordPtr record = found->second;
  if (!record->removing) {
    record->removing = true;
    tasks_.spawn("removing container " + id, tear_down(id, record));
  }
  if (limit == Duration::zero()) {
    co_await record->removed.wait();
  } else {
    co_await with_deadline(record->removed.wait(), limit, "removing container " + id + " (ETIME)");
  }
}

}  // namespace kata::sandbox
