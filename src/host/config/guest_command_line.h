// The guest kernel's command line, as far as it does not depend on the machine: how it resets, what it
// does after a panic, where its console is and how much it prints there are words of the driver.
#pragma once

#include <string>

#include "host/config/config.h"

namespace kata::config {

// Debug console of the agent: a fixed vsock port, since nothing in the configuration names it.
inline constexpr uint32_t kDebugConsolePort = 1026;

// The parameters that tell the agent its settings, sorted by name, except that agent.mem_agent_enable comes
// before the other agent.mem_agent_*: the agent takes those only after it.
std::string agent_kernel_params(const Config& config);

// Root device of an `image` (nothing for an initrd), fixed parameters, the agent's, then kernel_params of the
// file and its annotations, so that those win in the guest. Throws kInvalidArgument: the boot disk driver has
// no root device name, the verity data is broken, or the line and the driver's words are longer than
// the guest kernel reads (it would cut them silently).
std::string guest_command_line(const Config& config);

}  // namespace kata::config
