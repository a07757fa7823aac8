#include "guest/device/pci_path.h"

#include <array>
#include <charconv>
#include <cstdio>

#include <dirent.h>
#include <unistd.h>

namespace kata::device {
namespace {

constexpr size_t kMaxLevels = 16;
constexpr uint8_t kMaxSlot = 31;
constexpr uint8_t kMaxFunction = 7;
// A first element from here on is the number of a root bus, no slot.
constexpr unsigned kFirstExpanderBus = 0x20;

Error bad_path(std::string_view text) {
  return Error(Code::kInvalidArgument,
               "PCI path \"" + std::string(text.substr(0, 100)) +
                   "\": expected slots like 02/00 or 02.1/00, in hex, from the root bus");
}

bool parse_hex(std::string_view text, unsigned& out) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return error == std::errc{} && stop == text.data() + text.size() && text.size() <= 2;
}

bool parse_slot(std::string_view text, PciSlot& out) {
  unsigned slot = 0;
  unsigned function = 0;
  const size_t dot = text.find('.');
  if (!parse_hex(text.substr(0, dot), slot) || slot > kMaxSlot) return false;
  if (dot != std::string_view::npos &&
      (!parse_hex(text.substr(dot + 1), function) || function > kMaxFunction))
    return false;
  out = {.slot = static_cast<uint8_t>(slot), .function = static_cast<uint8_t>(function)};
  return true;
}

// The one entry of <bridge>/pci_bus: "0000:01". Empty when the bridge has no bus.
std::string bus_of(const std::string& bridge) {
  std::string bus;
  DIR* const stream = ::opendir((bridge + "/pci_bus").c_str());
  if (stream == nullptr) return bus;
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') bus = entry->d_name;
  }
  ::closedir(stream);
  return bus;
}

}  // namespace

std::expected<PciPath, Error> parse_pci_path(std::string_view text) {
  PciPath path;
  const std::string_view whole = text;
  std::vector<std::string_view> elements;
  for (;;) {
    const size_t slash = text.find('/');
    elements.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) break;
    text.remove_prefix(slash + 1);
    if (elements.size() > kMaxLevels) return std::unexpected(bad_path(whole));
  }
  unsigned bus = 0;
  if (elements.size() >= 3 && parse_hex(elements.front(), bus) && bus >= kFirstExpanderBus) {
    path.root_bus = static_cast<uint8_t>(bus);
    elements.erase(elements.begin());
  }
  for (const std::string_view element : elements) {
    PciSlot slot;
    if (!parse_slot(element, slot)) return std::unexpected(bad_path(whole));
    path.slots.push_back(slot);
  }
  return path;
}

std::expected<PciPath, Error> pci_path_of_slots(const std::vector<uint32_t>& slots) {
  PciPath path;
  if (slots.empty() || slots.size() > kMaxLevels)
    return std::unexpected(Error(Code::kInvalidArgument, "PCIPath must have 1 to 16 slots"));
  for (const uint32_t slot : slots) {
    if (slot > kMaxSlot)
      return std::unexpected(
          Error(Code::kInvalidArgument, "PCIPath: slot " + std::to_string(slot) + " is above 31"));
    path.slots.push_back({.slot = static_cast<uint8_t>(slot), .function = 0});
  }
  return path;
}

std::optional<std::string> find_pci_device(const std::string& sysfs, const PciPath& path) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "0000:%02x", path.root_bus);
  std::string bus = text.data();
  std::string folder = sysfs + "/devices/pci" + bus;
  for (size_t level = 0; level < path.slots.size(); ++level) {
    if (level > 0) bus = bus_of(folder);
    if (bus.empty()) return std::nullopt;
    std::snprintf(text.data(), text.size(), ":%02x.%x", path.slots[level].slot, path.slots[level].function);
    folder += "/" + bus + text.data();
  }
  if (::access(folder.c_str(), F_OK) != 0) return std::nullopt;
  return folder;
}

}  // namespace kata::device
