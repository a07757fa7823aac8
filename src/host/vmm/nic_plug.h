// The ability to give a running VM network interfaces and to take them away again.
#pragma once

#include <string>

#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"

namespace kata::vmm {

// Owned by the driver. Calls have limits of their own; one that failed has left nothing behind in the VMM.
class NicPlug {
 public:
  virtual ~NicPlug() = default;

  // At a free port of VmSpec::nic_ports; returns how the guest's agent finds it ("1b.1/00"). The NIC's
  // descriptors stay the caller's and are not needed afterwards. kResourceExhausted: no port is free.
  virtual Awaitable<std::string> add_nic(NicSpec nic) = 0;
  // Asks the guest to let go of it and waits for that. kNotFound for a NIC that the VM was started with.
  virtual Awaitable<> remove_nic(std::string id) = 0;
};

}  // namespace kata::vmm
