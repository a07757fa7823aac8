// The pod inside the VM: shared namespaces, storages, containers and their processes, DNS, OOM events.
//
// Works on plain types; the RPC layer decodes and maps. One thread; every call either returns at once or is
// awaited. A call that is cancelled (the host hung up) leaves nothing half made.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "guest/boot/agent_config.h"
#include "guest/cgroup/cgroup.h"
#include "guest/container/launcher.h"
#include "guest/device/device.h"
#include "guest/sandbox/guest_hooks.h"
#include "guest/sandbox/oom_queue.h"
#include "guest/sandbox/shared_mounts.h"
#include "guest/sandbox/shared_namespaces.h"
#include "guest/sandbox/storage_table.h"
#include "lib/async/awaitable.h"
#include "lib/async/child_process.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/error/error.h"

namespace kata::sandbox {

struct KernelModule {
  std::string name;
  std::vector<std::string> parameters;
};

struct SandboxSpec {
  std::string id, hostname;
  std::vector<std::string> dns;
  std::vector<storage::Storage> storages;
  std::string guest_hook_path;
  std::vector<KernelModule> kernel_modules;
};

struct ContainerSpec {
  std::string id;
  oci::Spec spec;
  std::vector<storage::Storage> storages;
  // Mounts of other containers that this one gets too.
  std::vector<SharedMount> shared_mounts;
  // Share one pid namespace between the containers that say so.
  bool sandbox_pidns = false;
  // Changes the spec for the guest's devices, after the id was reserved and before storages are attached.
  // Returns where those that were passed through are.
  std::function<Awaitable<device::PciMap>(oci::Spec& spec)> prepare_devices;
};

class Sandbox {
 public:
  Sandbox(asio::any_io_executor executor, const boot::AgentConfig& config);

  // kAlreadyExists when there is one. On error everything is given back.
  Awaitable<> create(SandboxSpec spec);
  [[nodiscard]] bool exists() const { return !id_.empty(); }
  [[nodiscard]] const std::string& id() const { return id_; }
  // Ends all containers and gives everything back; wakes who waits for OOM events. Best effort.
  Awaitable<> destroy();

  // kAlreadyExists for an id in use. On error no mount, cgroup, process or folder of it is left.
  Awaitable<> create_container(ContainerSpec spec);
  Awaitable<> start_container(std::string id);
  // Runs to its end even if the caller gives up; `limit` 0 = none, else kDeadlineExceeded.
  Awaitable<> remove_container(std::string id, Duration limit);

  // kAlreadyExists for an exec id in use.
  Awaitable<> exec(std::string id, std::string exec_id, oci::Process process);
  // Waits for the exit; the process stays known. An OOM kill that has to do with it is told first: the host
  // asks for it when it learns of the end.
  Awaitable<std::shared_ptr<container::Process>> wait_exit(std::string id, std::string exec_id,
                                                           Code missing_container);
  // Waits for the exit, closes the streams and forgets the process. All who wait get the code.
  Awaitable<int> wait(std::string id, std::string exec_id);
  // exec_id empty and SIGKILL: every process of the container.
  Awaitable<> signal(std::string id, std::string exec_id, int number);

  // `missing` is the code for an unknown container: the protocol has different ones for different calls.
  std::shared_ptr<container::Container> find_container(const std::string& id, Code missing) const;
  // exec_id empty or the container's id: its init. kNotFound "Process not found: ..." for an unknown process.
  std::shared_ptr<container::Process> find_process(const std::string& id, const std::string& exec_id,
                                                   Code missing_container) const;
  // Where the container's passed-through devices are; empty for one without, and for an unknown container.
  [[nodiscard]] device::PciMap pci_map(const std::string& id) const;
  [[nodiscard]] std::vector<std::shared_ptr<container::Container>> containers() const;
  // The processes of a container that the host started: pid to exec id (the container's id for its init).
  [[nodiscard]] std::map<pid_t, std::string> process_ids(const std::string& id) const;
  OomQueue& oom_events() { return oom_; }
  Awaitable<> update_ephemeral(std::vector<storage::Storage> storages);

  // How block devices are found; set by the owner before the first storage comes.
  void set_device_finder(std::function<Awaitable<std::string>(std::string, std::string)> finder) {
    find_device_ = std::move(finder);
  }
  // How images are pulled, likewise.
  void set_image_puller(std::function<Awaitable<>(std::string, std::string)> puller) {
    pull_image_ = std::move(puller);
  }

 private:
  struct Record {
    explicit Record(const asio::any_io_executor& executor);
    // Null while it is being made.
    std::shared_ptr<container::Container> container;
    // By exec id, init under the container's id; null while an exec is being started.
    std::map<std::string, std::shared_ptr<container::Process>> processes;
    std::vector<std::string> mount_points;
    device::PciMap pci_map;
    bool removing = false;
    Event removed;
    TaskGroup watchers;
  };
  using RecordPtr = std::shared_ptr<Record>;

  Awaitable<> set_up(const SandboxSpec& spec);
  Awaitable<> release();
  Awaitable<> end_pid_holder();
  Awaitable<> build(RecordPtr record, ContainerSpec& spec);
  // Null when no container has this name in its annotations.
  [[nodiscard]] std::shared_ptr<container::Container> find_named(const std::string& name) const;
  Awaitable<> add_shared_mounts(RecordPtr record, const ContainerSpec& spec);
  Awaitable<> tear_down(std::string id, RecordPtr record);
  Awaitable<> watch_oom(std::string id, std::shared_ptr<container::Container> container);
  void place_in_namespaces(ContainerSpec& spec);
  // /proc path of the pid namespace that the pod's containers share; makes it where no container of the
  // sandbox itself holds it. Empty: `id` is the container that will.
  std::string shared_pid_namespace(const std::string& id);
  RecordPtr find_record(const std::string& id, Code missing) const;
  storage::Context storage_context(const std::string& container_id) const;
  const cgroup::Hierarchy& hierarchy();

  asio::any_io_executor executor_;
  const boot::AgentConfig& config_;
  std::string id_;
  SharedNamespaces namespaces_;
  GuestHooks guest_hooks_;
  StorageTable storages_;
  std::map<std::string, RecordPtr> records_;
  // Pid 1 of the namespace that containers share in a pod without a container of its own; null = none.
  std::shared_ptr<ChildProcess> pid_holder_;
  std::optional<cgroup::Hierarchy> hierarchy_;
  OomQueue oom_;
  TaskGroup tasks_;
  std::function<Awaitable<std::string>(std::string, std::string)> find_device_;
  std::function<Awaitable<>(std::string, std::string)> pull_image_;
};

}  // namespace kata::sandbox
