#include "host/config/sizing.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "host/config/cpu_list.h"
#include "host/config/vmm_traits.h"
#include "lib/error/error.h"

namespace kata::config {

namespace {

constexpr uint64_t kMib = 1u << 20;

int64_t number_or_zero(const Annotations& annotations, const char* key) {
  const auto found = annotations.find(key);
  if (found == annotations.end()) return 0;
  const std::string& text = found->second;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

double vcpus_of(int64_t quota, uint64_t period) {
  return quota >= 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

uint64_t memory_of(int64_t bytes) {
  if (bytes <= 0) return 0;
  const uint64_t mib = static_cast<uint64_t>(bytes) / kMib;
  return mib + mib % 2;
}

// Sums of decimal fractions are a hair off: 1.8 + 0.2 must not become three vCPUs.
uint32_t whole_vcpus(double vcpus) {
  return std::max(1u, static_cast<uint32_t>(std::ceil(vcpus - 1e-6)));
}

// The file's own size is the operator's to correct; one that follows from a pod's limit is raised.
void check_memory(const Config& config, VmSize& size, bool from_limit) {
  const uint32_t minimum = vmm_traits(config.hypervisor_name).min_memory_mib;
  if (size.memory_mib >= minimum) return;
  const std::string sizes = std::to_string(size.memory_mib) + " MiB of memory, and " +
                            config.hypervisor_name + " needs at least " + std::to_string(minimum);
  if (!from_limit) {
    throw Error(Code::kInvalidArgument,
                "the VM would get " + sizes + ": raise " + config.describe("hypervisor.default_memory"));
  }
  size.clamps.push_back("the pod's limit gives " + sizes + ": the VM gets those");
  size.memory_mib = minimum;
}

// With static management: limit and overhead instead of the file's size.
void size_statically(const HypervisorConfig& hypervisor, const PodLimits& limits, double& vcpus,
                     uint64_t& memory) {
  if (limits.vcpus > 0) vcpus = std::max(1.0, hypervisor.overhead_vcpus + limits.vcpus);
  if (limits.memory_mib > 0) memory = hypervisor.overhead_memory + limits.memory_mib;
}

// Without: on top of the file's size, up to the file's maximum.
void size_dynamically(const HypervisorConfig& hypervisor, const PodLimits& limits, double& vcpus,
                      uint64_t& memory, VmSize& size) {
  vcpus += limits.vcpus;
  memory += limits.memory_mib;
  const double most_vcpus = std::max<double>(hypervisor.default_maxvcpus, hypervisor.default_vcpus);
  if (vcpus > most_vcpus) {
    size.clamps.push_back("the limits ask for " + std::to_string(vcpus) + " vCPUs, default_maxvcpus allows " +
                          std::to_string(hypervisor.default_maxvcpus));
    vcpus = most_vcpus;
  }
  const uint64_t most_memory = std::max(hypervisor.default_maxmemory, hypervisor.default_memory);
  if (memory > most_memory) {
    size.clamps.push_back("the limits ask for " + std::to_string(memory) + " MiB, default_maxmemory allows " +
                          std::to_string(most_memory));
    memory = most_memory;
  }
}

}  // namespace

uint32_t boot_vcpus(const HypervisorConfig& hypervisor) {
  return static_cast<uint32_t>(std::max(1.0, std::ceil(hypervisor.default_vcpus)));
}

PodLimits limits_from_annotations(const Annotations& annotations) {
  const int64_t period = number_or_zero(annotations, "io.kubernetes.cri.sandbox-cpu-period");
  const int64_t quota = number_or_zero(annotations, "io.kubernetes.cri.sandbox-cpu-quota");
  return {.vcpus = vcpus_of(quota, period > 0 ? static_cast<uint64_t>(period) : 0),
          .memory_mib = memory_of(number_or_zero(annotations, "io.kubernetes.cri.sandbox-memory"))};
}

PodLimits limits_from_resources(const oci::Resources& resources) {
  PodLimits limits;
  if (resources.cpu) {
    limits.vcpus = vcpus_of(resources.cpu->quota.value_or(-1), resources.cpu->period.value_or(0));
    if (limits.vcpus == 0) limits.vcpus = count_cpus(resources.cpu->cpus);
  }
  if (resources.memory) limits.memory_mib = memory_of(resources.memory->limit.value_or(0));
  return limits;
}

PodLimits limits_from_spec(const oci::Spec& spec, ContainerKind kind) {
  PodLimits limits;
  if (kind == ContainerKind::kSingle && spec.linux_config && spec.linux_config->resources) {
    limits = limits_from_resources(*spec.linux_config->resources);
  }
  const PodLimits annotated = limits_from_annotations(spec.annotations);
  if (limits.vcpus == 0) limits.vcpus = annotated.vcpus;
  if (limits.memory_mib == 0) limits.memory_mib = annotated.memory_mib;
  return limits;
}

VmSize size_vm(const Config& config, const PodLimits& limits, const HostFacts& host) {
  const HypervisorConfig& hypervisor = config.hypervisor;
  double vcpus = hypervisor.default_vcpus;
  uint64_t memory = hypervisor.default_memory;
  VmSize size;
  if (config.runtime.static_sandbox_resource_mgmt) {
    size_statically(hypervisor, limits, vcpus, memory);
  } else {
    size_dynamically(hypervisor, limits, vcpus, memory, size);
  }
  if (memory > host.memory_mib && limits.memory_mib > 0) {
    size.clamps.push_back("the limits ask for " + std::to_string(memory) + " MiB, the host has " +
                          std::to_string(host.memory_mib));
    memory = host.memory_mib;
  }
  const uint32_t most = vmm_traits(config.hypervisor_name).max_vcpus;
  if (vcpus > most) {
    throw Error(Code::kInvalidArgument, "the pod asks for " + std::to_string(std::lround(std::ceil(vcpus))) +
                                            " vCPUs, and " + config.hypervisor_name + " can have at most " +
                                            std::to_string(most) + "; lower the pod's CPU limit");
  }
  size.vcpus = whole_vcpus(vcpus);
  size.memory_mib = static_cast<uint32_t>(std::min<uint64_t>(memory, UINT32_MAX));
  size.max_memory_mib = std::max(hypervisor.default_maxmemory, size.memory_mib);
  size.max_vcpus = config.runtime.static_sandbox_resource_mgmt
                       ? size.vcpus
                       : std::max(hypervisor.default_maxvcpus, size.vcpus);
  check_memory(config, size, limits.memory_mib > 0);
  size.max_memory_mib = std::max(size.max_memory_mib, size.memory_mib);
  return size;
}

std::vector<std::string> apply_limits(Config& config, const PodLimits& limits, const HostFacts& host) {
  VmSize size = size_vm(config, limits, host);
  config.hypervisor.default_vcpus = size.vcpus;
  config.hypervisor.default_maxvcpus = size.max_vcpus;
  config.hypervisor.default_memory = size.memory_mib;
  config.hypervisor.default_maxmemory = size.max_memory_mib;
  return std::move(size.clamps);
}

}  // namespace kata::config
