// What the runtime changes in a container's OCI spec before the guest sees it (facts: agent-api, section 9).
#pragma once

#include <string>

#include "host/agent/messages.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

struct GuestSpecRules {
  bool disable_guest_seccomp = false;
  bool disable_guest_selinux = true;
  // vfio_mode = "vfio": the container keeps its /dev/vfio nodes.
  bool keep_vfio_devices = false;
  std::string bundle;
  // "pod_sandbox", "pod_container" or "single_container".
  std::string container_type;
  // Root file system in the guest.
  std::string guest_rootfs;
};

// Pure: the changed copy. Host paths of mounts are not touched here (host/resource/share_fs does that).
oci::Spec guest_spec(oci::Spec spec, const GuestSpecRules& rules);

// The limits of an update as the guest gets them: CPU sets are the node's, its CPUs are not the guest's.
oci::Resources guest_resources(oci::Resources resources);

// Whether the container wants the sandbox's pid namespace: its pid entry names a path.
bool shares_sandbox_pids(const oci::Spec& spec);

// "name param=1 param2" of the configuration's kernel_modules.
agent::KernelModule parse_kernel_module(const std::string& entry);

// What is taken out of an exec's process.
oci::Process guest_exec_process(oci::Process process, const GuestSpecRules& rules);

}  // namespace kata::sandbox
