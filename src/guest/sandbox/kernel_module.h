// Kernel modules that the host asks for with CreateSandbox.
#pragma once

#include <string>
#include <vector>

#include "lib/async/awaitable.h"

namespace kata::sandbox {

// Runs /sbin/modprobe -v <name> <parameters>; a guest without modprobe has the module looked for below
// /lib/modules/<release> and loaded. kInvalidArgument for a name that is no module name, kNotFound when it is
// not there.
Awaitable<> load_kernel_module(std::string name, std::vector<std::string> parameters);

}  // namespace kata::sandbox
