// From configuration to virtual machine: what the VM of a pod looks like.
#pragma once

#include <string>

#include "host/config/config.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"

namespace kata::sandbox {

// Pure. Everything of the spec that follows from the configuration alone; shares, vsock and kernel command line are the caller's.
vmm::VmSpec plan_vm(const std::string& sandbox_id, const config::Config& config, const std::string& run_dir);

// How long the agent may take to answer its first connection (B19: never under 10 s).
Duration connect_limit(const config::Config& config);

}  // namespace kata::sandbox
