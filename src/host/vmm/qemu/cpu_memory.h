// vCPUs and memory into and out of a running QEMU.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "host/vmm/cpu_memory.h"
#include "host/vmm/qemu/later_size.h"
#include "host/vmm/qemu/machine.h"
#include "lib/error/error.h"

namespace kata::vmm::qemu {

// An entry of query-hotpluggable-cpus.
struct CpuSlot {
  std::string type;
  // JSON object of the properties that place it.
  std::string properties;
  // Path in QEMU's object tree; empty = free.
  std::string path;
  // Order in which they are filled: by node, socket, die, core and thread.
  std::vector<int64_t> order;
};
std::expected<std::vector<CpuSlot>, Error> parse_cpu_slots(const std::string& answer);
// Host threads of query-cpus-fast, by vCPU.
std::expected<std::vector<pid_t>, Error> parse_cpu_threads(const std::string& answer);

class QemuCpuMemory final : public CpuMemory {
 public:
  // What of the VM's start counts here.
  QemuCpuMemory(std::shared_ptr<Machine> machine, const VmSpec& spec, Accelerator accelerator);

  [[nodiscard]] Size size() const override { return now_; }
  [[nodiscard]] Size most() const override { return most_; }
  Awaitable<> set_vcpus(uint32_t wanted) override;
  Awaitable<> set_memory(uint64_t wanted_mib) override;
  Awaitable<std::vector<pid_t>> vcpu_threads() override;

 private:
  Awaitable<std::vector<CpuSlot>> slots();
  Awaitable<> plug_vcpu();
  Awaitable<> unplug_vcpu();
  Awaitable<> plug_dimm(uint64_t mib);
  Awaitable<> request_virtio_mem(uint64_t mib);
  // What the guest may use of its memory; the rest is given back to the node (balloon).
  Awaitable<> inflate_to(uint64_t mib);

  std::shared_ptr<Machine> machine_;
  const LaterCpus later_cpus_;
  const LaterMemory later_memory_;
  const bool shared_, huge_pages_, balloon_;
  const Size first_, most_;
  Size now_;
  // Of all memory devices, the balloon not taken off.
  uint64_t plugged_mib_;
  uint32_t slots_left_;
  uint32_t next_id_ = 0;
  // Ids of plugged vCPUs, the newest last.
  std::vector<std::string> cpu_ids_;
};

}  // namespace kata::vmm::qemu
