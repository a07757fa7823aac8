// What the configuration needs to know about each VMM: names, limits and what an absent key means. Numbers of
// the drivers, kept here because values are checked before any driver is made.
#pragma once

#include <cstdint>
#include <string_view>

namespace kata::config {

struct VmmTraits {
  std::string_view name;
  uint32_t max_vcpus;
  uint32_t min_memory_mib;
  // Absent or zero keys.
  std::string_view path;
  std::string_view machine_type;
  std::string_view rootfs_type;
  uint32_t default_memory;
  uint32_t memory_slots;
  uint32_t bridges;
  std::string_view template_path;
};

// The traits of that [hypervisor.<name>]; those of QEMU for a name that is unknown.
const VmmTraits& vmm_traits(std::string_view name);
bool known_vmm(std::string_view name);
// "qemu, clh, ..." for messages.
std::string_view known_vmm_names();

}  // namespace kata::config
