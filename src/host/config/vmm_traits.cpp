#include "host/config/vmm_traits.h"

#include <algorithm>

namespace kata::config {

namespace {

#if defined(__aarch64__)
constexpr std::string_view kQemu = "/usr/bin/qemu-system-aarch64";
constexpr std::string_view kMachine = "virt";
#else
constexpr std::string_view kQemu = "/usr/bin/qemu-system-x86_64";
constexpr std::string_view kMachine = "q35";
#endif
constexpr std::string_view kTemplates = "/run/vc/vm/template";

//  name, most vCPUs, least memory, executable, machine, rootfs, memory, slots, bridges, template folder
constexpr VmmTraits kTraits[] = {
    {"qemu", 256, 64, kQemu, kMachine, "ext4", 128, 128, 1, kTemplates},
    {"clh", 256, 64, "/usr/bin/cloud-hypervisor", "", "", 128, 128, 2, kTemplates},
    {"firecracker", 32, 128, "", "", "", 128, 0, 0, ""},
    {"dragonball", 256, 64, "", "", "", 128, 128, 0, kTemplates},
    {"remote", 32, 64, "", "", "", 64, 128, 0, kTemplates},
    {"openvmm", 256, 64, "", "", "", 0, 128, 0, ""},
};

}  // namespace

const VmmTraits& vmm_traits(std::string_view name) {
  const auto* found = std::ranges::find(kTraits, name, &VmmTraits::name);
  return found == std::end(kTraits) ? kTraits[0] : *found;
}

bool known_vmm(std::string_view name) {
  return std::ranges::find(kTraits, name, &VmmTraits::name) != std::end(kTraits);
}

std::string_view known_vmm_names() {
  return "qemu, clh, firecracker, dragonball, remote, openvmm";
}

}  // namespace kata::config
