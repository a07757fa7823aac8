// The ability to change how many vCPUs and how much memory a running VM has.
#pragma once

#include <cstdint>
#include <sys/types.h>
#include <vector>

#include "lib/async/awaitable.h"

namespace kata::vmm {

// Owned by the driver. Calls have limits of their own. One that fails says what was reached; size() is the
// truth afterwards, whatever happened.
class CpuMemory {
 public:
  virtual ~CpuMemory() = default;

  struct Size {
    uint32_t vcpus = 0;
    uint64_t memory_mib = 0;
    bool operator==(const Size&) const = default;
  };
  // What the VM has now, and what it may grow to.
  [[nodiscard]] virtual Size size() const = 0;
  [[nodiscard]] virtual Size most() const = 0;
  // Plugs vCPUs in or asks the guest to give some back; the guest must still set new ones online. Fewer than
  // the VM was started with is kInvalidArgument, more than most() kResourceExhausted.
  virtual Awaitable<> set_vcpus(uint32_t wanted) = 0;
  // Grows to at least that size, in the steps that the guest takes memory in; or shrinks as far as the guest
  // gives memory back, never below what the VM was started with.
  virtual Awaitable<> set_memory(uint64_t wanted_mib) = 0;
  // Host threads of the vCPUs, in the order of the vCPUs.
  virtual Awaitable<std::vector<pid_t>> vcpu_threads() = 0;
};

}  // namespace kata::vmm
