// Which accelerator a VM gets: hardware virtualisation only where it can work, else emulation.
#pragma once

#include <string>

#include "host/vmm/vm_spec.h"

namespace kata::vmm {

// What the machine offers.
struct AcceleratorProbe {
  // Empty when /dev/kvm can be opened, else why not.
  std::string kvm_problem;
  // x86: /proc/cpuinfo shows vmx or svm. Without it an existing /dev/kvm is a stand-in (nested clouds,
  // sandboxed CI runners) under which an ordinary guest kernel never finishes booting. True on other
  // architectures, where the device alone decides.
  bool cpu_virtualisation = false;
};

AcceleratorProbe probe_accelerator(const std::string& kvm_device = "/dev/kvm",
                                   const std::string& cpuinfo = "/proc/cpuinfo");

struct AcceleratorChoice {
  // kKvm or kTcg.
  Accelerator accelerator = Accelerator::kTcg;
  // Why emulation was chosen by itself; empty when there is nothing to warn of.
  std::string warning;
};

// A wanted KVM whose device does not open is kFailedPrecondition; a CPU without virtualisation is then the
// user's own decision and accepted.
AcceleratorChoice choose_accelerator(Accelerator wanted, const AcceleratorProbe& probe);

}  // namespace kata::vmm
