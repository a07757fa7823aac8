#include "host/sandbox/vm_plan.h"

#include <algorithm>
#include <cmath>

namespace kata::sandbox {
namespace {

vmm::Accelerator accelerator(const std::string& name) {
  if (name == "kvm") return vmm::Accelerator::kKvm;
  if (name == "tcg") return vmm::Accelerator::kTcg;
  return vmm::Accelerator::kAuto;
}

}  // namespace

vmm::VmSpec plan_vm(const std::string& sandbox_id, const config::Config& config, const std::string& run_dir) {
  const config::HypervisorConfig& hypervisor = config.hypervisor;
  vmm::VmSpec spec;
  spec.id = sandbox_id;
  spec.program = hypervisor.path;
  spec.run_dir = run_dir;
  spec.machine_type = hypervisor.machine_type;
  spec.machine_accelerators = hypervisor.machine_accelerators;
  spec.accelerator = accelerator(hypervisor.accelerator);
  const auto vcpus = static_cast<uint32_t>(std::max(1.0, std::ceil(hypervisor.default_vcpus)));
  spec.cpu.boot = vcpus;
  const bool fixed = config.runtime.static_sandbox_resource_mgmt;
  spec.cpu.max = fixed ? vcpus : std::max(vcpus, hypervisor.default_maxvcpus);
  spec.cpu.features = hypervisor.cpu_features;
  spec.memory.mib = hypervisor.default_memory;
  spec.memory.max_mib = fixed ? hypervisor.default_memory
                              : std::max<uint64_t>(hypervisor.default_memory, hypervisor.default_maxmemory);
  spec.memory.slots = fixed ? 0 : hypervisor.memory_slots;
  spec.memory.prealloc = hypervisor.enable_mem_prealloc;
  spec.memory.huge_pages = hypervisor.enable_hugepages;
  spec.boot.kernel = hypervisor.kernel;
  spec.boot.initrd = hypervisor.initrd;
  spec.boot.image = hypervisor.image;
  spec.boot.firmware = hypervisor.firmware;
  spec.debug = hypervisor.enable_debug;
  spec.console = hypervisor.enable_debug;
  if (hypervisor.seccomp_sandbox) {
    spec.seccomp_value = *hypervisor.seccomp_sandbox;
    spec.seccomp_sandbox = !hypervisor.seccomp_sandbox->empty() && *hypervisor.seccomp_sandbox != "off";
  }
  return spec;
}

}  // namespace kata::sandbox
