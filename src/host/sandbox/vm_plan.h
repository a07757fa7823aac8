// From configuration to virtual machine: what the VM of a pod looks like.
#pragma once

#include <string>

#include "host/agent/messages.h"
#include "host/config/config.h"
#include "host/config/cri_annotations.h"
#include "host/device/disk_manager.h"
#include "host/resource/network/network.h"
#include "host/resource/rootfs/block_rootfs.h"
#include "host/resource/share_fs/share_fs.h"
#include "host/resource/volume/block_volumes.h"
#include "host/sandbox/guest_spec.h"
#include "host/sandbox/run_dir.h"
#include "host/sandbox/stdio.h"
#include "host/vmm/vm_spec.h"
#include "host/vsock/transport.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

// Pure. Everything of the spec that follows from the configuration alone; shares, vsock and kernel command
// line are the caller's.
vmm::VmSpec plan_vm(const std::string& sandbox_id, const config::Config& config, const std::string& run_dir);

// Pure: how block devices are driven, and what of them a pod may have. A pod whose first container is on
// disks will have more containers that are.
vmm::BlockSettings plan_block(const config::Config& config);
device::DiskPolicy plan_disks(const config::Config& config, config::ContainerKind kind,
                              rootfs::Kind first_rootfs);

// Pure: which volumes are disks of their own.
volume::VolumeRules plan_volumes(const std::string& sandbox_id, const config::Config& config);

// Pure: how the way to the guest, its shared tree and its first call follow from the configuration.
// Places for NICs that are added to the running VM, which starts with `nics` of them; none where the machine
// has no PCI Express.
std::vector<vmm::PortSpec> plan_nic_ports(const config::Config& config, size_t nics);
vsock::TransportConfig plan_transport(const config::Config& config, const RunDir& run_dir);
// How the node's files reach the guest. kUnimplemented names a value of shared_fs that is not supported.
enum class ShareKind { kVirtioFs, kCopies };
ShareKind plan_share_kind(const config::Config& config);
share_fs::ShareFsConfig plan_share(const std::string& sandbox_id, const config::Config& config,
                                   const RunDir& run_dir);
// A spec without a network namespace, or with one that the runtime would have to make, gives a pod without a
// NIC.
network::NetworkConfig plan_network(const std::string& sandbox_id, const config::Config& config,
                                    const oci::Spec& spec, const RunDir& run_dir);
agent::SandboxSetup plan_guest(const std::string& sandbox_id, const config::Config& config,
                               const oci::Spec& spec);
// What the container of this name (the CRI's; empty: it has none) is to get of other containers' mounts.
std::vector<agent::SharedMount> plan_shared_mounts(const config::Config& config,
                                                   const std::string& container_name);
// Whether a VM whose agent is lost goes on, so that somebody can look into it (keep_abnormal).
enum class AgentLoss { kEnds, kKept };
AgentLoss plan_agent_loss(const config::Config& config);
StdioRules plan_stdio(const config::Config& config, const std::string& containerd_namespace);
// What of a container's spec the configuration changes; `target` fields that are the container's own are left
// empty.
GuestSpecRules plan_spec_rules(const config::Config& config);

}  // namespace kata::sandbox
