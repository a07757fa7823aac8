// From configuration to virtual machine: what the VM of a pod looks like.
#pragma once

#include <string>

#include "host/config/config.h"
#include "host/vmm/vm_spec.h"

namespace kata::sandbox {

// Pure. Everything of the spec that follows from the configuration alone; shares, vsock and kernel command
// line are the caller's.
vmm::VmSpec plan_vm(const std::string& sandbox_id, const config::Config& config, const std::string& run_dir);

}  // namespace kata::sandbox
