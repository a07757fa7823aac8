// How much of the node a sandbox has, and where that is accounted: its control groups and, later in its life,
// the size of its VM.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/config/config.h"
#include "host/resource/cgroup/sandbox_cgroup.h"
#include "host/resource/sizing/pod_resources.h"
#include "host/vmm/vm_driver.h"
#include "lib/async/awaitable.h"
#include "lib/error/teardown.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

// The node's control groups for that plan; null where the node has none. For tests to replace.
using MakeCgroup = std::function<std::unique_ptr<node_cgroup::SandboxCgroup>(node_cgroup::CgroupPlan plan)>;
std::unique_ptr<node_cgroup::SandboxCgroup> make_node_cgroup(node_cgroup::CgroupPlan plan);

node_cgroup::Placement cgroup_placement(const config::Config& config);

class SandboxResources {
 public:
  SandboxResources(std::string sandbox_id, MakeCgroup make_cgroup)
      : sandbox_id_(std::move(sandbox_id)), make_cgroup_(std::move(make_cgroup)) {}

  // Makes the sandbox's control groups and moves this process in, so that all it starts is born there.
  // `record` gets the folders before they exist. The configuration has the VM's sizes by now.
  void enter(const config::Config& config, const oci::Spec& spec,
             const std::function<void(std::vector<std::string> folders)>& record);
  [[nodiscard]] std::vector<std::string> vmm_entry_files() const;
  // The vCPUs run: they go where the pod's limits are.
  Awaitable<> vm_started(vmm::VmDriver& driver);

  // Keeps the books on containers; nothing changes on the node before settle().
  void set_container(const std::string& id, const oci::Spec& spec);
  void update_container(const std::string& id, const oci::Resources& changes);
  void erase_container(const std::string& id);
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
  double overhead_vcpus_ = 0;
  uint64_t vm_memory_mib_ = 0;
};

}  // namespace kata::sandbox
