// How vCPUs and memory that a VM may get later are there from its start: pure.
#pragma once

#include <cstdint>

#include "host/vmm/vm_spec.h"

namespace kata::vmm::qemu {

// How vCPUs that come later are there: plugged in, or present from the start and kept offline by the guest's
// kernel (maxcpus=). Emulation needs the second: kernels since 6.12.60 take hot-pluggable CPUs of old ACPI
// tables only under a hypervisor that they know, and TCG is none.
enum class LaterCpus { kPlugged, kOffline };
LaterCpus later_cpus(Accelerator accelerator);

// How memory that comes later is there.
enum class LaterMemory { kNone, kDimm, kVirtioMem };
LaterMemory later_memory(const VmSpec& spec);
// vCPUs that the VM may have: as many as it starts with where the machine type has no hot-plug.
uint32_t most_vcpus(const VmSpec& spec);

// The guest takes memory in blocks of this size at most; pc-dimm sizes are multiples of it (MiB).
inline constexpr uint64_t kDimmStepMib = 128;
// virtio-mem's block size under the largest page of x86 guests that it uses (MiB).
inline constexpr uint64_t kVirtioMemStepMib = 4;

}  // namespace kata::vmm::qemu
