#include "host/sandbox/sandbox_resources.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sched.h>

#include "host/config/cri_annotations.h"
#include "host/config/sizing.h"
#include "host/resource/cgroup/device_rules.h"
#include "host/vmm/cpu_memory.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

std::vector<uint32_t> pinning_of(size_t vcpus, const std::string& cpus) {
  std::vector<uint32_t> set = sizing::cpus_of(cpus);
  if (set.size() != vcpus) set.clear();
  return set;
}

// One CPU each, or every CPU for all.
void pin(const std::vector<pid_t>& threads, const std::vector<uint32_t>& cpus) {
  for (size_t i = 0; i < threads.size(); ++i) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (cpus.empty() || cpu == cpus[i]) CPU_SET(cpu, &set);
    }
    if (::sched_setaffinity(threads[i], sizeof set, &set) != 0)
      log::warning("vCPU not pinned", {{"vcpu", std::to_string(i)}, {"errno", std::to_string(errno)}});
  }
}

// A limit may be higher than what there is: then the VM is as large as it can be.
sizing::WantedSize capped(sizing::WantedSize wanted, const vmm::CpuMemory::Size& most) {
  if (wanted.vcpus > most.vcpus || wanted.memory_mib > most.memory_mib) {
    log::warning("the VM cannot be as large as the containers' limits",
                 {{"wanted_vcpus", std::to_string(wanted.vcpus)},
                  {"most_vcpus", std::to_string(most.vcpus)},
                  {"wanted_mib", std::to_string(wanted.memory_mib)},
                  {"most_mib", std::to_string(most.memory_mib)}});
  }
  return {.vcpus = std::min(wanted.vcpus, most.vcpus),
          .memory_mib = std::min(wanted.memory_mib, most.memory_mib)};
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

std::vector<uint32_t> plan_pinning(const config::Config& config, size_t vcpus, const std::string& cpus) {
  return config.runtime.enable_vcpus_pinning ? pinning_of(vcpus, cpus) : std::vector<uint32_t>();
}

node_cgroup::Placement cgroup_placement(const config::Config& config) {
  return config.runtime.sandbox_cgroup_only ? node_cgroup::Placement::kSandboxOnly
                                            : node_cgroup::Placement::kOverhead;
}

void SandboxResources::size_vm(config::Config& config, const oci::Spec& spec) {
  const auto kind = config::read_cri_annotations(spec.annotations, sandbox_id_).kind;
  config::PodLimits limits = config::limits_from_spec(spec, kind);
  static_ = config.runtime.static_sandbox_resource_mgmt;
  default_vcpus_ = config.hypervisor.default_vcpus;
  default_memory_mib_ = config.hypervisor.default_memory;
  // The containers of a pod come one by one, and the VM grows with each.
  if (!static_ && kind != config::ContainerKind::kSingle) limits = {};
  from_limit_ = limits.memory_mib > 0;
  for (const std::string& clamp : config::apply_limits(config, limits, config::host_facts()))
    log::warning("size of the VM", {{"clamp", clamp}});
}

void SandboxResources::enter(const config::Config& config, const oci::Spec& spec,
                             const std::function<void(std::vector<std::string>)>& record) {
  const auto kind = config::read_cri_annotations(spec.annotations, sandbox_id_).kind;
  if (kind == config::ContainerKind::kPodSandbox)
    pod_.set_pod(config::limits_from_annotations(spec.annotations));
  pins_vcpus_ = config.runtime.enable_vcpus_pinning;
  overhead_vcpus_ = config.hypervisor.overhead_vcpus;
  vm_memory_mib_ = config.hypervisor.default_memory;
  start_vcpus_ = config::boot_vcpus(config.hypervisor);
  const std::string path = spec.linux_config ? spec.linux_config->cgroups_path : "";
  cgroup_ = make_cgroup_(node_cgroup::plan_cgroups(path, sandbox_id_, cgroup_placement(config)));
  if (!cgroup_) return;
  record(cgroup_->missing_folders());
  cgroup_->create();
  cgroup_->enter();
  if (!cgroup_->restricts_devices()) return;
  const auto text = [files = node_cgroup::NodeFiles::kernel()](const char* path) {
    return files->read(path).value_or("");
  };
  cgroup_->restrict_devices(node_cgroup::vmm_device_rules(text("/proc/misc"), text("/proc/devices")));
}

std::vector<std::string> SandboxResources::vmm_entry_files() const {
  return cgroup_ ? cgroup_->vmm_entry_files() : std::vector<std::string>();
}

Awaitable<> SandboxResources::place_vcpus(vmm::VmDriver& driver) {
  vmm::CpuMemory* const vm = driver.cpu_memory();
  const bool placed = cgroup_ && cgroup_->places_vcpus();
  if (vm == nullptr || (!placed && !pins_vcpus_)) co_return;
  const std::vector<pid_t> threads = co_await vm->vcpu_threads();
  if (placed) cgroup_->place_vcpus(threads);
  if (pins_vcpus_) pin(threads, pinning_of(threads.size(), pod_.totals().cpus));
}

void SandboxResources::set_container(const std::string& id, const oci::Spec& spec) {
  sizing::ContainerShare share;
  if (spec.linux_config && spec.linux_config->resources) share.resources = *spec.linux_config->resources;
  share.counts =
      config::read_cri_annotations(spec.annotations, id).kind != config::ContainerKind::kPodSandbox;
  pod_.set(id, std::move(share));
}

oci::Resources SandboxResources::update_container(const std::string& id, const oci::Resources& changes) {
  const oci::Resources* const known = pod_.find(id);
  oci::Resources before = known != nullptr ? *known : oci::Resources{};
  pod_.update(id, changes);
  return before;
}

void SandboxResources::restore_container(const std::string& id, oci::Resources before) {
  pod_.replace(id, std::move(before));
}

void SandboxResources::erase_container(const std::string& id) {
  pod_.erase(id);
}

Awaitable<> SandboxResources::fit_vm(vmm::VmDriver& driver, std::shared_ptr<agent::AgentClient> agent,
                                     Fit fit) {
  vmm::CpuMemory* const vm = driver.cpu_memory();
  if (static_ || vm == nullptr) co_return;
  const auto lock = co_await fitting_.lock();
  const sizing::WantedSize asked = sizing::wanted_size(default_vcpus_, default_memory_mib_, pod_.totals());
  sizing::WantedSize wanted = capped(asked, vm->most());
  const vmm::CpuMemory::Size before = vm->size();
  wanted.vcpus = std::max(wanted.vcpus, fit == Fit::kOnlyGrow ? before.vcpus : start_vcpus_);
  if (fit == Fit::kOnlyGrow) wanted.memory_mib = std::max(wanted.memory_mib, before.memory_mib);
  // The node's limit must not be in the way of what comes.
  vm_memory_mib_ = std::max(before.memory_mib, wanted.memory_mib);
  std::exception_ptr failure;
  try {
    co_await vm->set_vcpus(wanted.vcpus);
    co_await vm->set_memory(wanted.memory_mib);
  } catch (...) {
    failure = std::current_exception();
  }
  const vmm::CpuMemory::Size now = vm->size();
  vm_memory_mib_ = now.memory_mib;
  if (now != before) {
    log::info("size of the VM changed",
              {{"vcpus", std::to_string(now.vcpus)}, {"memory_mib", std::to_string(now.memory_mib)}});
  }
  if (now.vcpus > before.vcpus || now.memory_mib > before.memory_mib) {
    co_await agent->online_cpus_and_memory(now.vcpus);
    co_await place_vcpus(driver);
  }
  if (!failure) co_return;
  throw to_error(failure).within("resizing the VM of sandbox " + sandbox_id_ + ", which has " +
                                 std::to_string(now.vcpus) + " vCPUs and " + std::to_string(now.memory_mib) +
                                 " MiB now");
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
