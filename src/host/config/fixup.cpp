#include "host/config/fixup.h"

#include <algorithm>
#include <utility>

#include "host/config/paths.h"
#include "host/config/vmm_traits.h"

namespace kata::config {

namespace {

constexpr std::string_view kVhostUserStore = "/var/run/vhost-user";
constexpr std::string_view kEntropySource = "/dev/urandom";
constexpr uint32_t kDaxWindowMib = 1024;
constexpr uint32_t kMostBridges = 5;
constexpr uint32_t kMostNetworkQueues = 256;

// Replaces a path by its real one.
void resolve(std::string_view key, std::string& path, std::string_view what, const TableScope& scope) {
  if (path.empty()) return;
  if (auto real = real_path(path)) {
    path = *std::move(real);
  } else {
    scope.problem(key, path + " does not exist; install " + std::string(what) + " or correct the path");
  }
}

void fix_programs(std::string_view vmm, HypervisorConfig& config, const TableScope& scope) {
  if (config.path.empty()) config.path = vmm_traits(vmm).path;
  // Those two are looked for when the VM starts.
  if (vmm != "firecracker" && vmm != "openvmm") resolve("path", config.path, "the hypervisor", scope);
  resolve("ctlpath", config.ctlpath, "the control program", scope);
  resolve("jailer_path", config.jailer_path, "the jailer", scope);
  resolve("vsock_device_path", config.vsock_device_path, "kata-vsock-device", scope);
}

void fix_block(HypervisorConfig& config, const TableScope& scope) {
  if (config.disable_block_device_use) {
    config.block_device_driver.clear();
    config.enable_vhost_user_store = false;
  }
  if (!config.enable_vhost_user_store) {
    config.vhost_user_store_path.clear();
  } else {
    if (config.vhost_user_store_path.empty()) config.vhost_user_store_path = kVhostUserStore;
    resolve("vhost_user_store_path", config.vhost_user_store_path, "the vhost-user store's folder", scope);
  }
  if (config.queue_size == 0) config.queue_size = 128;
  if (config.num_queues == 0) config.num_queues = 1;
}

void fix_boot(std::string_view vmm, HypervisorConfig& config, const TableScope& scope) {
  if (config.rootfs_type.empty()) config.rootfs_type = vmm_traits(vmm).rootfs_type;
  resolve("kernel", config.kernel, "the guest kernel", scope);
  resolve("initrd", config.initrd, "the guest's initrd", scope);
  resolve("image", config.image, "the guest image", scope);
  resolve("firmware", config.firmware, "the firmware", scope);
  for (std::size_t i = 0; i < config.guest_extension_images.size(); ++i) {
    const std::string key = "guest_extension_images[" + std::to_string(i) + "].path";
    resolve(key, config.guest_extension_images[i].path, "the extension image", scope);
  }
}

void fix_cpus(std::string_view vmm, HypervisorConfig& config, const HostFacts& host) {
  // The smaller of the two, so that a host with more CPUs than the VMM can take is no error.
  const uint32_t most = std::min(host.cpus, vmm_traits(vmm).max_vcpus);
  if (config.default_maxvcpus == 0 || config.default_maxvcpus > most) config.default_maxvcpus = most;
  if (config.default_vcpus == 0) config.default_vcpus = 1;
  if (config.default_vcpus < 0 || config.default_vcpus > host.cpus) config.default_vcpus = host.cpus;
  config.default_vcpus = std::min(config.default_vcpus, static_cast<double>(config.default_maxvcpus));
}

void fix_devices(std::string_view vmm, HypervisorConfig& config) {
  if (config.default_bridges == 0) config.default_bridges = vmm_traits(vmm).bridges;
  config.default_bridges = std::min(config.default_bridges, kMostBridges);
}

void fix_machine(std::string_view vmm, HypervisorConfig& config, const TableScope& scope) {
  if (config.machine_type.empty()) config.machine_type = vmm_traits(vmm).machine_type;
  if (config.entropy_source.empty() && vmm != "remote" && vmm != "openvmm")
    config.entropy_source = kEntropySource;
  resolve("entropy_source", config.entropy_source, "the random number device", scope);
  for (std::string& path : config.pflashes) resolve("pflashes", path, "the flash image", scope);
}

void fix_memory(std::string_view vmm, HypervisorConfig& config, const HostFacts& host,
                const TableScope& scope) {
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(host.memory_mib, UINT32_MAX));
  if (config.default_memory == 0) config.default_memory = vmm_traits(vmm).default_memory;
  if (config.default_memory > most) {
    scope.warning("default_memory", std::to_string(config.default_memory) +
                                        " MiB is more than the host has; using its " + std::to_string(most) +
                                        " MiB");
    config.default_memory = most;
  }
  if (config.default_maxmemory == 0 || config.default_maxmemory > most) config.default_maxmemory = most;
  if (config.memory_slots == 0) config.memory_slots = vmm_traits(vmm).memory_slots;
}

void fix_shared_fs(HypervisorConfig& config, const TableScope& scope) {
  // Three spellings: absent and "none" are off, empty text is virtio-fs.
  if (config.shared_fs == "none") config.shared_fs.reset();
  if (config.shared_fs == "") config.shared_fs = "virtio-fs";
  if (config.shared_fs == "virtio-fs" || config.shared_fs == "virtio-fs-nydus") {
    resolve("virtio_fs_daemon", config.virtio_fs_daemon, "virtiofsd", scope);
  }
  if (config.virtio_fs_cache == "none") {
    scope.warning("virtio_fs_cache", "\"none\" is an old name; using \"never\"");
    config.virtio_fs_cache = "never";
  }
  if (config.virtio_fs_is_dax && config.virtio_fs_cache_size == 0)
    config.virtio_fs_cache_size = kDaxWindowMib;
  config.virtio_fs_is_dax = config.virtio_fs_cache_size > 0;
}

void fix_remote(HypervisorConfig& config, const TableScope& scope) {
  if (config.hypervisor_socket.empty()) config.hypervisor_socket = "/run/peerpod/hypervisor.sock";
  if (config.hypervisor_timeout == 0) config.hypervisor_timeout = 600;
  resolve("hypervisor_socket", config.hypervisor_socket, "the remote hypervisor's service", scope);
}

}  // namespace

std::string TableScope::describe(std::string_view key) const {
  const std::string full = table_ + "." + std::string(key);
  auto found = origins_.find(full);
  // An element of an array has its array's origin when nothing better is known.
  if (found == origins_.end()) found = origins_.find(full.substr(0, full.find('[')));
  return full + (found == origins_.end() ? " (default)" : " " + found->second);
}

void TableScope::problem(std::string_view key, std::string_view problem) const {
  std::string text = describe(key) + ": " + std::string(problem);
  if (active_) {
    problems_.errors.push_back(std::move(text));
  } else {
    problems_.warnings.push_back(text + " (" + table_ + " is not in use)");
  }
}

void TableScope::warning(std::string_view key, std::string_view warning) const {
  problems_.warnings.push_back(describe(key) + ": " + std::string(warning));
}

void fix_up_hypervisor(std::string_view vmm, HypervisorConfig& config, const HostFacts& host,
                       const TableScope& scope) {
  fix_programs(vmm, config, scope);
  fix_block(config, scope);
  fix_boot(vmm, config, scope);
  fix_cpus(vmm, config, host);
  fix_devices(vmm, config);
  fix_machine(vmm, config, scope);
  fix_memory(vmm, config, host, scope);
  if (config.network_queues == 0) config.network_queues = 1;
  config.network_queues = std::min(config.network_queues, kMostNetworkQueues);
  fix_shared_fs(config, scope);
  if (config.factory.template_path.empty()) config.factory.template_path = vmm_traits(vmm).template_path;
  if (vmm == "remote") fix_remote(config, scope);
}

void fix_up_runtime(RuntimeConfig& config, const TableScope& scope) {
  if (config.hypervisor_name == "remote") {
    config.internetworking_model = "none";
    config.disable_new_netns = false;
  }
  for (std::string& mount : config.sandbox_bind_mounts) {
    const std::size_t colon = mount.rfind(':');
    const std::string mode = colon == std::string::npos ? "" : mount.substr(colon);
    const bool has_mode = mode == ":ro" || mode == ":rw";
    std::string path = has_mode ? mount.substr(0, colon) : mount;
    resolve("sandbox_bind_mounts", path, "what it names", scope);
    mount = path + (has_mode ? mode : "");
  }
}

}  // namespace kata::config
