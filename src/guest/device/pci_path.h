// PCI paths: the way from the root bus to a device as slots, "02/00" or "02.1/00" (agent-api, section 5).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"

namespace kata::device {

struct PciSlot {
  uint8_t slot = 0;      // 0..31
  uint8_t function = 0;  // 0..7
};

struct PciPath {
  // Number of the root bus: 0, or that of an expander bridge (pxb).
  uint8_t root_bus = 0;
  std::vector<PciSlot> slots;
};

std::expected<PciPath, Error> parse_pci_path(std::string_view text);
// AddSwap's form: slot numbers, one per level.
std::expected<PciPath, Error> pci_path_of_slots(const std::vector<uint32_t>& slots);

// The device's folder below <sysfs>/devices, found by asking each bridge for its bus; none while it is not
// there.
std::optional<std::string> find_pci_device(const std::string& sysfs, const PciPath& path);

}  // namespace kata::device
