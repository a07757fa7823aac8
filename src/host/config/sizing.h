// How big the VM is: the configuration's sizes and the pod's limits put together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/config/config.h"
#include "host/config/cri_annotations.h"
#include "lib/oci/spec.h"

namespace kata::config {

// What the pod may use; 0 = no limit known.
struct PodLimits {
  double vcpus = 0;
  // Truncated to MiB, then rounded up to an even number.
  uint64_t memory_mib = 0;
};

// From io.kubernetes.cri.sandbox-{cpu-period,cpu-quota,memory}; what is absent or no number counts as none.
PodLimits limits_from_annotations(const Annotations& annotations);
// From a container's own limits: quota/period, or the number of CPUs of its cpuset.
PodLimits limits_from_resources(const oci::Resources& resources);
// A pod sandbox: its annotations; a single container: its limits, and what they leave open from the
// annotations.
PodLimits limits_from_spec(const oci::Spec& spec, ContainerKind kind);

// The vCPUs that a VM of this configuration starts with: whole ones, at least one.
uint32_t boot_vcpus(const HypervisorConfig& hypervisor);

struct VmSize {
  // What could not be had as asked, a line each: for the log.
  std::vector<std::string> clamps;
  uint32_t vcpus = 1;
  uint32_t max_vcpus = 1;
  uint32_t memory_mib = 0;
  uint32_t max_memory_mib = 0;
};

// With static_sandbox_resource_mgmt a known limit replaces the default of its dimension: vCPUs = max(1,
// overhead_vcpus + limit), memory = overhead_memory + limit, capped by the host's RAM. Unlike the original a
// dimension without a limit keeps the file's default: the overhead alone cannot boot. Without static
// management a single container, whose limits are known, gets them on top of the file's sizes, capped by
// default_maxvcpus and default_maxmemory; for a pod the file's sizes stay, its containers come later. Throws
// kInvalidArgument when the memory is below what the VMM can start.
VmSize size_vm(const Config& config, const PodLimits& limits, const HostFacts& host);

// Writes that size into default_vcpus, default_maxvcpus, default_memory and default_maxmemory, which is what
// everything that comes later looks at. Returns the clamps.
std::vector<std::string> apply_limits(Config& config, const PodLimits& limits, const HostFacts& host);

}  // namespace kata::config
