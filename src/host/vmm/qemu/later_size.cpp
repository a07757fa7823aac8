#include "host/vmm/qemu/later_size.h"

#include <algorithm>

namespace kata::vmm::qemu {

LaterCpus later_cpus(Accelerator accelerator) {
  return accelerator == Accelerator::kTcg ? LaterCpus::kOffline : LaterCpus::kPlugged;
}

LaterMemory later_memory(const VmSpec& spec) {
  if (spec.machine_type.starts_with("microvm") || spec.memory.max_mib <= spec.memory.mib)
    return LaterMemory::kNone;
  if (spec.memory.virtio_mem) return LaterMemory::kVirtioMem;
  return spec.memory.slots == 0 ? LaterMemory::kNone : LaterMemory::kDimm;
}

uint32_t most_vcpus(const VmSpec& spec) {
  return spec.machine_type.starts_with("microvm") ? spec.cpu.boot : std::max(spec.cpu.boot, spec.cpu.max);
}

}  // namespace kata::vmm::qemu
