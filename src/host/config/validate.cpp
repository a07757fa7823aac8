#include <string>

#include "host/config/fixup.h"
#include "host/config/vmm_traits.h"

namespace kata::config {

namespace {

// Refuses a key that this VMM cannot honour.
void refuse(bool set, std::string_view key, std::string_view vmm, const TableScope& scope) {
  if (set) scope.problem(key, std::string(vmm) + " does not support it; remove the key");
}

void need(const std::string& value, std::string_view key, const TableScope& scope) {
  if (value.empty()) scope.problem(key, "must be set");
}

void need_root(const HypervisorConfig& config, const TableScope& scope) {
  if (!config.image.empty() || !config.initrd.empty()) return;
  const bool from_ccw = config.vm_rootfs_driver == "virtio-blk-ccw" && config.confidential_guest;
  if (!from_ccw) scope.problem("initrd", "either initrd or image must be set");
}

void refuse_jailer(const HypervisorConfig& config, std::string_view vmm, const TableScope& scope) {
  refuse(!config.jailer_path.empty(), "jailer_path", vmm, scope);
  refuse(!config.valid_jailer_paths.empty(), "valid_jailer_paths", vmm, scope);
}

void refuse_confidential_mmio(const HypervisorConfig& config, const TableScope& scope) {
  if (config.confidential_guest && config.vm_rootfs_driver == "virtio-blk-mmio") {
    scope.problem("vm_rootfs_driver",
                  "a confidential guest cannot boot from virtio-blk-mmio; use virtio-blk-pci");
  }
}

void validate_qemu(const HypervisorConfig& config, const TableScope& scope) {
  refuse_jailer(config, "qemu", scope);
  if (config.block_device_driver == "virtio-blk-mmio") {
    scope.problem("block_device_driver",
                  "qemu does not support virtio-blk-mmio; use virtio-blk-pci or virtio-scsi");
  }
  refuse_confidential_mmio(config, scope);
  need(config.kernel, "kernel", scope);
  need_root(config, scope);
  refuse(config.enable_guest_swap, "enable_guest_swap", "qemu", scope);
}

void validate_clh(const HypervisorConfig& config, const TableScope& scope) {
  refuse_jailer(config, "clh", scope);
  refuse_confidential_mmio(config, scope);
  need(config.kernel, "kernel", scope);
  need_root(config, scope);
}

void validate_dragonball(const HypervisorConfig& config, const TableScope& scope) {
  constexpr std::string_view kName = "dragonball";
  refuse(!config.path.empty(), "path", kName, scope);
  refuse(!config.valid_hypervisor_paths.empty(), "valid_hypervisor_paths", kName, scope);
  refuse(!config.ctlpath.empty(), "ctlpath", kName, scope);
  refuse(!config.valid_ctlpaths.empty(), "valid_ctlpaths", kName, scope);
  refuse(config.enable_iothreads, "enable_iothreads", kName, scope);
  refuse(!config.firmware.empty(), "firmware", kName, scope);
  refuse(config.enable_iommu, "enable_iommu", kName, scope);
  refuse(config.enable_iommu_platform, "enable_iommu_platform", kName, scope);
  refuse(config.default_bridges > 0, "default_bridges", kName, scope);
  refuse(config.pcie_root_port > 0, "pcie_root_port", kName, scope);
  refuse(config.pcie_switch_port > 0, "pcie_switch_port", kName, scope);
  refuse(!config.machine_type.empty(), "machine_type", kName, scope);
  refuse(!config.pflashes.empty(), "pflashes", kName, scope);
  refuse(config.rootless, "rootless", kName, scope);
  const std::string& driver = config.block_device_driver;
  if (driver == "virtio-scsi" || driver == "virtio-blk-ccw") {
    scope.problem("block_device_driver",
                  "dragonball takes virtio-blk-pci, virtio-blk-mmio and virtio-pmem only");
  }
  if (config.shared_fs && config.shared_fs != "virtio-fs" && config.shared_fs != "inline-virtio-fs") {
    scope.problem("shared_fs", "dragonball takes virtio-fs and inline-virtio-fs only");
  }
  need(config.kernel, "kernel", scope);
  need_root(config, scope);
}

void validate_firecracker(const HypervisorConfig& config, const TableScope& scope) {
  need(config.path, "path", scope);
  need(config.kernel, "kernel", scope);
  need(config.image, "image", scope);
}

void validate_remote(const HypervisorConfig& config, const HostFacts& host, const TableScope& scope) {
  refuse(!config.initrd.empty(), "initrd", "remote", scope);
  refuse(!config.rootfs_type.empty(), "rootfs_type", "remote", scope);
  if (config.default_maxmemory != host.memory_mib) {
    scope.problem("default_maxmemory",
                  "must be 0 or the host's memory, " + std::to_string(host.memory_mib) + " MiB");
  }
}

void validate_groups(std::string_view vmm, const HypervisorConfig& config, const TableScope& scope) {
  const VmmTraits& traits = vmm_traits(vmm);
  if (!config.image.empty() && !config.initrd.empty()) {
    scope.problem("image",
                  "both image and initrd are set (" + scope.describe("initrd") + "); keep one of them");
  }
  if (config.pcie_root_port > 0 && config.pcie_switch_port > 0) {
    scope.problem("pcie_switch_port", "cannot be used together with pcie_root_port; set one of them to 0");
  }
  if (config.default_memory < traits.min_memory_mib) {
    scope.problem("default_memory", std::to_string(config.default_memory) + " MiB is too little to boot; " +
                                        std::string(vmm) + " needs at least " +
                                        std::to_string(traits.min_memory_mib));
  }
  if (config.memory_slots == 0) scope.problem("memory_slots", "must not be 0");
  if (config.block_device_logical_sector_size > config.block_device_physical_sector_size &&
      config.block_device_physical_sector_size != 0) {
    scope.problem("block_device_logical_sector_size", "must not be above block_device_physical_sector_size");
  }
  if (config.shared_fs == "virtio-fs-nydus") need(config.virtio_fs_daemon, "virtio_fs_daemon", scope);
}

}  // namespace

void validate_hypervisor(std::string_view vmm, const HypervisorConfig& config, const HostFacts& host,
                         const TableScope& scope) {
  if (vmm == "qemu") validate_qemu(config, scope);
  if (vmm == "clh") validate_clh(config, scope);
  if (vmm == "dragonball") validate_dragonball(config, scope);
  if (vmm == "firecracker") validate_firecracker(config, scope);
  if (vmm == "remote") validate_remote(config, host, scope);
  if (vmm == "openvmm") need(config.path, "path", scope);
  validate_groups(vmm, config, scope);
}

void validate_agent(const AgentConfig& config, const TableScope& scope) {
  if (config.dial_timeout_ms > config.reconnect_timeout_ms) {
    scope.problem("dial_timeout_ms", std::to_string(config.dial_timeout_ms) + " is above " +
                                         scope.describe("reconnect_timeout_ms") + ", which is " +
                                         std::to_string(config.reconnect_timeout_ms) + "; raise that one");
  }
}

}  // namespace kata::config
