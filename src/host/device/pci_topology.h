// The PCI places of a q35 machine that disks (and later others) get, planned before the boot: the root bus
// takes devices only before the start, a port takes one at any time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/vmm/vm_spec.h"

namespace kata::device {

class PciTopology {
 public:
  // At most kMaxPorts are made.
  static constexpr uint32_t kMaxPorts = 16;
  explicit PciTopology(uint32_t ports);

  [[nodiscard]] const std::vector<vmm::PortSpec>& ports() const { return ports_; }

  // A free place before the start: on the root bus first, then behind a port.
  std::optional<vmm::PciPlace> take_before_start();
  // A free place in a running VM: behind a port.
  std::optional<vmm::PciPlace> take_running();
  // The place can be taken again. Not for the root bus of a running VM.
  void give_back(const vmm::PciPlace& place);

  // How the guest's agent finds the place: "1a", or "1d.3/00" for the device behind a port (agent-api facts,
  // section 5).
  [[nodiscard]] std::string guest_path(const vmm::PciPlace& place) const;

 private:
  std::vector<vmm::PortSpec> ports_;
  std::vector<bool> slot_taken_, port_taken_;
};

}  // namespace kata::device
