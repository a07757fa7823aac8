#include "host/sandbox/vm_plan.h"

#include <algorithm>

#include "host/config/cri_annotations.h"
#include "host/config/sizing.h"
#include "host/resource/volume/bind_volumes.h"
#include "lib/error/error.h"

namespace kata::sandbox {
namespace {

// Of a disk; QEMU's limit is 1024 vectors.
constexpr uint64_t kMaxQueues = 256;

vmm::Accelerator accelerator(const std::string& name) {
  if (name == "kvm") return vmm::Accelerator::kKvm;
  if (name == "tcg") return vmm::Accelerator::kTcg;
  return vmm::Accelerator::kAuto;
}

}  // namespace

vmm::VmSpec plan_vm(const std::string& sandbox_id, const config::Config& config, const std::string& run_dir) {
  const config::HypervisorConfig& hypervisor = config.hypervisor;
  vmm::VmSpec spec;
  spec.id = sandbox_id;
  spec.program = hypervisor.path;
  spec.run_dir = run_dir;
  spec.machine_type = hypervisor.machine_type;
  spec.machine_accelerators = hypervisor.machine_accelerators;
  spec.accelerator = accelerator(hypervisor.accelerator);
  const auto vcpus = config::boot_vcpus(hypervisor);
  spec.cpu.boot = vcpus;
  const bool fixed = config.runtime.static_sandbox_resource_mgmt;
  spec.cpu.max = fixed ? vcpus : std::max(vcpus, hypervisor.default_maxvcpus);
  spec.cpu.features = hypervisor.cpu_features;
  spec.memory.mib = hypervisor.default_memory;
  spec.memory.max_mib = fixed ? hypervisor.default_memory
                              : std::max<uint64_t>(hypervisor.default_memory, hypervisor.default_maxmemory);
  spec.memory.slots = fixed ? 0 : hypervisor.memory_slots;
  spec.memory.virtio_mem = hypervisor.enable_virtio_mem;
  spec.memory.offset_mib = hypervisor.memory_offset;
  spec.memory.reclaim = hypervisor.reclaim_guest_freed_memory;
  spec.memory.prealloc = hypervisor.enable_mem_prealloc;
  spec.memory.huge_pages = hypervisor.enable_hugepages;
  spec.boot.kernel = hypervisor.kernel;
  spec.boot.initrd = hypervisor.initrd;
  spec.boot.image = hypervisor.image;
  spec.boot.image_driver = hypervisor.vm_rootfs_driver;
  spec.boot.firmware = hypervisor.firmware;
  spec.block = plan_block(config);
  spec.debug = hypervisor.enable_debug;
  // Quiet unless something goes wrong, and then its last lines are the only words the guest has.
  spec.console = true;
  if (hypervisor.seccomp_sandbox) {
    spec.seccomp_value = *hypervisor.seccomp_sandbox;
    spec.seccomp_sandbox = !hypervisor.seccomp_sandbox->empty() && *hypervisor.seccomp_sandbox != "off";
  }
  return spec;
}

vmm::BlockSettings plan_block(const config::Config& config) {
  const config::HypervisorConfig& hypervisor = config.hypervisor;
  vmm::BlockSettings block;
  block.driver = hypervisor.block_device_driver;
  block.enable_iothreads = hypervisor.enable_iothreads;
  block.indep_iothreads = hypervisor.indep_iothreads;
  block.aio = hypervisor.block_device_aio;
  block.cache_direct = hypervisor.block_device_cache_direct;
  block.cache_no_flush = hypervisor.block_device_cache_noflush;
  block.logical_sector = hypervisor.block_device_logical_sector_size;
  block.physical_sector = hypervisor.block_device_physical_sector_size;
  // One per processor unless more are asked for.
  block.queues = std::max(static_cast<uint32_t>(std::min<uint64_t>(hypervisor.num_queues, kMaxQueues)),
                          config::boot_vcpus(hypervisor));
  block.queue_size = hypervisor.queue_size;
  block.max_bytes = hypervisor.disk_rate_limiter_bw_max_rate;
  block.max_bytes_burst = hypervisor.disk_rate_limiter_bw_one_time_burst.value_or(0);
  block.max_operations = hypervisor.disk_rate_limiter_ops_max_rate;
  block.max_operations_burst = hypervisor.disk_rate_limiter_ops_one_time_burst.value_or(0);
  return block;
}

device::DiskPolicy plan_disks(const config::Config& config, config::ContainerKind kind,
                              rootfs::Kind first_rootfs) {
  const config::HypervisorConfig& hypervisor = config.hypervisor;
  device::DiskPolicy policy;
  policy.driver = hypervisor.block_device_driver;
  const bool has_pci = hypervisor.machine_type.empty() || hypervisor.machine_type.starts_with("q35") ||
                       hypervisor.machine_type.starts_with("pc-q35");
  if (hypervisor.disable_block_device_use) {
    policy.refusal = "block devices are switched off (disable_block_device_use)";
  } else if (policy.driver != "virtio-blk-pci" && policy.driver != "virtio-scsi") {
    policy.refusal = "block_device_driver " + policy.driver +
                     " cannot carry the disks of containers: virtio-blk-pci and virtio-scsi can";
  } else if (!has_pci) {
    policy.refusal =
        "machine type " + hypervisor.machine_type + " has no place for disks of containers: q35 has";
  }
  // Each port costs some 10 ms of boot under emulation: a container alone gets all its disks before the boot.
  if (!has_pci || kind == config::ContainerKind::kSingle) return policy;
  constexpr uint32_t kPortsOfBlockPods = 8, kPortsOfPods = 2;
  policy.ports = first_rootfs == rootfs::Kind::kFolder ? kPortsOfPods : kPortsOfBlockPods;
  return policy;
}

std::vector<vmm::PortSpec> plan_nic_ports(const config::Config& config, size_t nics) {
  const std::string& machine = config.hypervisor.machine_type;
  if (config.hypervisor_name != "qemu" || (!machine.empty() && !machine.starts_with("q35"))) return {};
  // Below the slots that disks' ports have (host/device).
  constexpr uint8_t kSlot = 0x1b;
  std::vector<vmm::PortSpec> ports = {{.id = "np0", .slot = kSlot, .function = 0}};
  // Each costs some 10 ms of boot under emulation. A namespace without links is one that is filled later.
  if (nics == 0) ports.push_back({.id = "np1", .slot = kSlot, .function = 1});
  return ports;
}

volume::VolumeRules plan_volumes(const std::string& sandbox_id, const config::Config& config) {
  using Mode = volume::VolumeRules::EmptyDirs;
  volume::VolumeRules rules;
  rules.sandbox_id = sandbox_id;
  if (config.runtime.emptydir_mode == "block-plain") rules.empty_dirs = Mode::kDisks;
  if (config.runtime.emptydir_mode == "block-encrypted") rules.empty_dirs = Mode::kEncrypted;
  return rules;
}

vsock::TransportConfig plan_transport(const config::Config& config, const RunDir& run_dir) {
  vsock::TransportConfig plan;
  plan.mode = vsock::parse_transport_mode(config.hypervisor.agent_transport);
  plan.device_program = config.hypervisor.vsock_device_path;
  plan.hybrid_socket = run_dir.vsock_socket();
  plan.vhost_user_socket = run_dir.vhost_vsock_socket();
  return plan;
}

ShareKind plan_share_kind(const config::Config& config) {
  const auto& wanted = config.hypervisor.shared_fs;
  if (!wanted) return ShareKind::kCopies;
  if (*wanted == "virtio-fs") return ShareKind::kVirtioFs;
  throw Error(Code::kUnimplemented, "shared_fs = \"" + *wanted + "\" is not supported with " +
                                        config.hypervisor_name +
                                        ": \"virtio-fs\" and \"none\" (copies of files) are");
}

namespace {

// "<path>", "<path>:ro" or "<path>:rw"; read-only unless it says otherwise.
void add_sandbox_mount(std::string text, std::vector<share_fs::ShareFsConfig::SandboxMount>& mounts) {
  auto access = share_fs::ShareTree::Access::kReadOnly;
  if (text.ends_with(":rw")) access = share_fs::ShareTree::Access::kReadWrite;
  if (text.ends_with(":rw") || text.ends_with(":ro")) text.resize(text.size() - 3);
  const auto name = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  if (!text.starts_with('/') || name(text).empty())
    throw Error(Code::kInvalidArgument, "runtime.sandbox_bind_mounts: \"" + text +
                                            "\" cannot be mounted: it is no absolute path with a name");
  for (const auto& other : mounts) {
    if (name(other.source) == name(text))
      throw Error(Code::kInvalidArgument, "runtime.sandbox_bind_mounts: " + other.source + " and " + text +
                                              " would have the same place in the guest, sandbox-mounts/" +
                                              name(text));
  }
  mounts.push_back({.source = std::move(text), .access = access});
}

}  // namespace

share_fs::ShareFsConfig plan_share(const std::string& sandbox_id, const config::Config& config,
                                   const RunDir& run_dir) {
  share_fs::ShareFsConfig plan;
  plan.sandbox_id = sandbox_id;
  plan.run_dir = run_dir.path();
  plan.daemon = config.hypervisor.virtio_fs_daemon;
  plan.cache = config.hypervisor.virtio_fs_cache;
  plan.extra_args = config.hypervisor.virtio_fs_extra_args;
  // 0 = the driver's own choice.
  if (config.hypervisor.virtio_fs_queue_size != 0) plan.queue_size = config.hypervisor.virtio_fs_queue_size;
  plan.debug = config.hypervisor.enable_debug;
  for (const std::string& mount : config.runtime.sandbox_bind_mounts)
    add_sandbox_mount(mount, plan.sandbox_mounts);
  return plan;
}

network::NetworkConfig plan_network(const std::string& sandbox_id, const config::Config& config,
                                    const oci::Spec& spec, const RunDir& run_dir) {
  network::NetworkConfig plan;
  if (spec.linux_config && !config.runtime.disable_new_netns) {
    for (const oci::Namespace& entry : spec.linux_config->namespaces) {
      if (entry.type == "network") plan.netns = entry.path;
    }
  }
  if (!config.runtime.dan_conf.empty())
    plan.direct.file = config.runtime.dan_conf + "/" + sandbox_id + ".json";
  plan.direct.queues = config.hypervisor.network_queues;
  plan.model = network::parse_model(config.runtime.internetworking_model);
  // A queue pair per processor, unless more are asked for.
  plan.queues = std::max(config.hypervisor.network_queues, config::boot_vcpus(config.hypervisor));
  if (config.hypervisor.disable_vhost_net) plan.vhost_net = network::NetworkConfig::VhostNet::kNever;
  plan.limits = {.received = config.hypervisor.rx_rate_limiter_max_rate,
                 .sent = config.hypervisor.tx_rate_limiter_max_rate};
  plan.journal = run_dir.network_journal();
  return plan;
}

agent::SandboxSetup plan_guest(const std::string& sandbox_id, const config::Config& config,
                               const oci::Spec& spec) {
  agent::SandboxSetup setup;
  setup.sandbox_id = sandbox_id;
  setup.hostname = spec.hostname;
  setup.guest_hook_path = config.hypervisor.guest_hook_path;
  if (plan_share_kind(config) == ShareKind::kVirtioFs) {
    setup.storages.push_back({.driver = "virtio-fs",
                              .driver_options = {},
                              .source = std::string(share_fs::kMountTag),
                              .fstype = "virtiofs",
                              .options = {"nodev"},
                              .mount_point = std::string(share_fs::kGuestMountPoint)});
  }
  const auto kind = config::read_cri_annotations(spec.annotations, sandbox_id).kind;
  // Only a pod has containers that share memory; a single container has its own /dev/shm.
  if (kind != config::ContainerKind::kSingle) {
    setup.storages.push_back({.driver = "ephemeral",
                              .driver_options = {},
                              .source = "shm",
                              .fstype = "tmpfs",
                              .options = {"size=67108864", "mode=1777"},
                              .mount_point = volume::kGuestShm});
  }
  for (const std::string& entry : config.agent.kernel_modules)
    setup.kernel_modules.push_back(parse_kernel_module(entry));
  return setup;
}

std::vector<agent::SharedMount> plan_shared_mounts(const config::Config& config,
                                                   const std::string& container_name) {
  std::vector<agent::SharedMount> mounts;
  for (const config::SharedMount& mount : config.runtime.shared_mounts) {
    if (!container_name.empty() && mount.dst_ctr == container_name)
      mounts.push_back({.name = mount.name,
                        .source_container = mount.src_ctr,
                        .source_path = mount.src_path,
                        .target_container = mount.dst_ctr,
                        .target_path = mount.dst_path});
  }
  return mounts;
}

AgentLoss plan_agent_loss(const config::Config& config) {
  return config.runtime.keep_abnormal ? AgentLoss::kKept : AgentLoss::kEnds;
}

StdioRules plan_stdio(const config::Config& config, const std::string& containerd_namespace) {
  return {.containerd_namespace = containerd_namespace,
          .drain_limit = std::chrono::milliseconds(config.runtime.stdio_drain_timeout_ms)};
}

GuestSpecRules plan_spec_rules(const config::Config& config) {
  GuestSpecRules rules;
  rules.disable_guest_seccomp = config.runtime.disable_guest_seccomp;
  rules.disable_guest_selinux = config.hypervisor.disable_guest_selinux;
  rules.keep_vfio_devices = config.runtime.vfio_mode == "vfio";
  return rules;
}

}  // namespace kata::sandbox
