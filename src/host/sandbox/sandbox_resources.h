// How much of the node a sandbox has, and where that is accounted: its control groups and, later in its life,
// the size of its VM.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/agent/agent_client.h"
#include "host/config/config.h"
#include "host/resource/cgroup/sandbox_cgroup.h"
#include "host/resource/sizing/pod_resources.h"
#include "host/vmm/vm_driver.h"
#include "lib/async/awaitable.h"
#include "lib/async/mutex.h"
#include "lib/error/teardown.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

// The node's control groups for that plan; null where the node has none. For tests to replace.
using MakeCgroup = std::function<std::unique_ptr<node_cgroup::SandboxCgroup>(node_cgroup::CgroupPlan plan)>;
std::unique_ptr<node_cgroup::SandboxCgroup> make_node_cgroup(node_cgroup::CgroupPlan plan);

node_cgroup::Placement cgroup_placement(const config::Config& config);
// enable_vcpus_pinning: the CPU of each vCPU, if the pod's set has as many; else none.
std::vector<uint32_t> plan_pinning(const config::Config& config, size_t vcpus, const std::string& cpus);

class SandboxResources {
 public:
  SandboxResources(const asio::any_io_executor& executor, std::string sandbox_id, MakeCgroup make_cgroup)
      : sandbox_id_(std::move(sandbox_id)), make_cgroup_(std::move(make_cgroup)), fitting_(executor) {}

  // Before anything: settles how large the VM starts, in the configuration that everything else looks at.
  void size_vm(config::Config& config, const oci::Spec& spec);

  // Makes the sandbox's control groups and moves this process in, so that all it starts is born there.
  // `record` gets the folders before they exist. The configuration has the VM's sizes by now.
  void enter(const config::Config& config, const oci::Spec& spec,
             const std::function<void(std::vector<std::string> folders)>& record);
  // Whether the VM's memory follows from the pod's limit, which knows nothing of what a guest needs to boot.
  [[nodiscard]] bool pins_vcpus() const { return pins_vcpus_; }
  [[nodiscard]] bool memory_from_limit() const { return from_limit_; }
  [[nodiscard]] std::vector<std::string> vmm_entry_files() const;
  // Puts the vCPUs where the pod's limits are and, where that is asked for, pins each to a CPU of the pod's
  // set. Whenever there are others, or another set.
  Awaitable<> place_vcpus(vmm::VmDriver& driver);

  // Keeps the books on containers; nothing changes on the node before settle().
  void set_container(const std::string& id, const oci::Spec& spec);
  // Returns what it was before, for restore_container().
  oci::Resources update_container(const std::string& id, const oci::Resources& changes);
  void restore_container(const std::string& id, oci::Resources before);
  void erase_container(const std::string& id);
  // Makes the VM as large as the containers need together, or smaller where it can give back. Static sizing
  // changes nothing. Throws when that size cannot be had; what was reached stays and is said.
  enum class Fit { kOnlyGrow, kExact };
  Awaitable<> fit_vm(vmm::VmDriver& driver, std::shared_ptr<agent::AgentClient> agent, Fit fit);
  // Writes what the containers may use together into the node's control group. Not while a pod starts: its
  // boot is not to be throttled. A node that refuses is warned about.
  void settle();

  // Why the VM is gone, if the node killed it for lack of memory; else empty.
  [[nodiscard]] std::string out_of_memory() const;

  // This process leaves, what was made is removed. Idempotent.
  Awaitable<> release(Teardown& teardown);

 private:
  std::string sandbox_id_;
  MakeCgroup make_cgroup_;
  std::unique_ptr<node_cgroup::SandboxCgroup> cgroup_;
  sizing::PodResources pod_;
  // fit_vm() is for one caller at a time.
  AsyncMutex fitting_;
  bool static_ = true;
  bool from_limit_ = false;
  bool pins_vcpus_ = false;
  // What of the VM's size is not the containers'.
  double default_vcpus_ = 1;
  uint64_t default_memory_mib_ = 0;
  uint32_t start_vcpus_ = 1;
  double overhead_vcpus_ = 0;
  uint64_t vm_memory_mib_ = 0;
};

}  // namespace kata::sandbox
