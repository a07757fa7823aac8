#include "host/device/pci_topology.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "lib/error/error.h"

namespace kata::device {
namespace {

// The VMM fills the root bus from slot 1 with what the spec has besides disks; 0x1b has the ports of NICs,
// the chipset 0x1f.
constexpr uint8_t kFirstSlot = 0x10;
constexpr uint8_t kSlots = 11;
constexpr uint8_t kPortSlot = 0x1d;
constexpr uint8_t kFunctions = 8;

}  // namespace

PciTopology::PciTopology(uint32_t ports) : slot_taken_(kSlots, false) {
  for (uint32_t i = 0; i < std::min(ports, kMaxPorts); ++i) {
    ports_.push_back({.id = "hp" + std::to_string(i),
                      .slot = static_cast<uint8_t>(kPortSlot - i / kFunctions),
                      .function = static_cast<uint8_t>(i % kFunctions)});
  }
  port_taken_.assign(ports_.size(), false);
}

std::optional<vmm::PciPlace> PciTopology::take_before_start() {
  const auto free = std::ranges::find(slot_taken_, false);
  if (free == slot_taken_.end()) return take_running();
  *free = true;
  return vmm::PciPlace{.port = {}, .slot = static_cast<uint8_t>(kFirstSlot + (free - slot_taken_.begin()))};
}

std::optional<vmm::PciPlace> PciTopology::take_running() {
  const auto free = std::ranges::find(port_taken_, false);
  if (free == port_taken_.end()) return std::nullopt;
  *free = true;
  return vmm::PciPlace{.port = ports_[static_cast<size_t>(free - port_taken_.begin())].id, .slot = 0};
}

void PciTopology::give_back(const vmm::PciPlace& place) {
  if (place.port.empty()) {
    slot_taken_.at(place.slot - kFirstSlot) = false;
    return;
  }
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].id == place.port) port_taken_[i] = false;
  }
}

std::string PciTopology::guest_path(const vmm::PciPlace& place) const {
  std::array<char, 32> text{};
  if (place.port.empty()) {
    std::snprintf(text.data(), text.size(), "%02x", place.slot);
    return text.data();
  }
  const auto port = std::ranges::find(ports_, place.port, &vmm::PortSpec::id);
  if (port == ports_.end()) throw Error(Code::kInternal, "PCI port " + place.port + " is not known");
  if (port->function == 0) {
    std::snprintf(text.data(), text.size(), "%02x/%02x", port->slot, place.slot);
  } else {
    std::snprintf(text.data(), text.size(), "%02x.%x/%02x", port->slot, port->function, place.slot);
  }
  return text.data();
}

}  // namespace kata::device
