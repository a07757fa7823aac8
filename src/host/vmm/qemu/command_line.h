// From a VmSpec to QEMU's command line: a pure function (qemu-system-x86_64(1), QEMU 7.2 to 11).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/vmm/vm_spec.h"
#include "lib/fd/unique_fd.h"

namespace kata::vmm::qemu {

// Descriptors that the supervisor made for this start; they stay the caller's.
struct LaunchFds {
  // QMP, one end of a connected Unix stream socket: no path, no waiting, nobody else can come in.
  int qmp = -1;
  // Serial console, likewise; used when spec.console is set.
  int console = -1;
};

// What was found on the node for this start.
struct LaunchFiles {
  // The first stage of a boot image (launch.h); empty = none.
  std::string first_stage;
  uint64_t image_bytes = 0;
};

struct CommandLine {
  std::vector<std::string> argv;
  // Descriptors that argv refers to by number and that QEMU must inherit under it.
  std::vector<int> inherit;
  // Descriptors that were made for this line; they are in `inherit`, too.
  std::vector<UniqueFd> owned;
};

// `accelerator` is kKvm or kTcg: kAuto has been resolved by then.
CommandLine build_command_line(const VmSpec& spec, Accelerator accelerator, const LaunchFds& fds,
                               const LaunchFiles& files = {});

// What the guest's kernel gets: the driver's own words, then the spec's.
std::string kernel_command_line(const VmSpec& spec, Accelerator accelerator);

// Values of an option list: a comma in them is written twice.
std::string escape_value(const std::string& value);

}  // namespace kata::vmm::qemu
