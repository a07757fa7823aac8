#include "host/sandbox/sandbox_resources.h"

#include <utility>

#include "host/config/cri_annotations.h"
#include "host/config/sizing.h"
#include "host/resource/cgroup/device_rules.h"
#include "host/vmm/cpu_memory.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

std::string text_of(const char* path) {
  try {
    return read_file(path, size_t{1} << 16);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::unique_ptr<node_cgroup::SandboxCgroup> make_node_cgroup(node_cgroup::CgroupPlan plan) {
  kernel::CgroupLayout layout;
  try {
    layout = kernel::CgroupLayout::detect();
  } catch (const Error& error) {
    log::warning("the sandbox has no control group on the node", {{"reason", error.message()}});
    return nullptr;
  }
  return std::make_unique<node_cgroup::SandboxCgroup>(node_cgroup::NodeFiles::kernel(), std::move(layout),
                                                      std::move(plan));
}

node_cgroup::Placement cgroup_placement(const config::Config& config) {
  return config.runtime.sandbox_cgroup_only ? node_cgroup::Placement::kSandboxOnly
                                            : node_cgroup::Placement::kOverhead;
}

void SandboxResources::enter(const config::Config& config, const oci::Spec& spec,
                             const std::function<void(std::vector<std::string>)>& record) {
  const auto kind = config::read_cri_annotations(spec.annotations, sandbox_id_).kind;
  if (kind == config::ContainerKind::kPodSandbox)
    pod_.set_pod(config::limits_from_annotations(spec.annotations));
  overhead_vcpus_ = config.hypervisor.overhead_vcpus;
  vm_memory_mib_ = config.hypervisor.default_memory;
  const std::string path = spec.linux_config ? spec.linux_config->cgroups_path : "";
  cgroup_ = make_cgroup_(node_cgroup::plan_cgroups(path, sandbox_id_, cgroup_placement(config)));
  if (!cgroup_) return;
  record(cgroup_->missing_folders());
  cgroup_->create();
  cgroup_->enter();
  cgroup_->restrict_devices(node_cgroup::vmm_device_rules(text_of("/proc/misc"), text_of("/proc/devices")));
}

std::vector<std::string> SandboxResources::vmm_entry_files() const {
  return cgroup_ ? cgroup_->vmm_entry_files() : std::vector<std::string>();
}

Awaitable<> SandboxResources::vm_started(vmm::VmDriver& driver) {
  vmm::CpuMemory* const size = driver.cpu_memory();
  if (!cgroup_ || !cgroup_->places_vcpus() || size == nullptr) co_return;
  cgroup_->place_vcpus(co_await size->vcpu_threads());
}

void SandboxResources::set_container(const std::string& id, const oci::Spec& spec) {
  sizing::ContainerShare share;
  if (spec.linux_config && spec.linux_config->resources) share.resources = *spec.linux_config->resources;
  share.counts =
      config::read_cri_annotations(spec.annotations, id).kind != config::ContainerKind::kPodSandbox;
  pod_.set(id, std::move(share));
}

void SandboxResources::update_container(const std::string& id, const oci::Resources& changes) {
  pod_.update(id, changes);
}

void SandboxResources::erase_container(const std::string& id) {
  pod_.erase(id);
}

void SandboxResources::settle() {
  if (!cgroup_) return;
  const sizing::NodeShare share =
      sizing::node_share(pod_.totals(), {.vcpus = overhead_vcpus_, .vm_memory_mib = vm_memory_mib_});
  const node_cgroup::NodeLimits limits{.cpu_shares = share.cpu_shares,
                                       .cpu_quota = share.cpu_quota,
                                       .cpu_period = {},
                                       .cpus = share.cpus,
                                       .mems = share.mems,
                                       .memory_bytes = share.memory_bytes};
  try {
    cgroup_->apply(limits);
  } catch (const Error& error) {
    log::warning("limits of the sandbox's control group", {{"error", error.message()}});
  }
}

std::string SandboxResources::out_of_memory() const {
  const uint64_t kills = cgroup_ ? cgroup_->oom_kills() : 0;
  if (kills == 0) return {};
  return "the node killed it for lack of memory (cgroup " + cgroup_->path() +
         ", out-of-memory kills: " + std::to_string(kills) + "); raise the pod's memory limit or overhead";
}

Awaitable<> SandboxResources::release(Teardown& teardown) {
  if (cgroup_) co_await cgroup_->release(teardown);
}

}  // namespace kata::sandbox
