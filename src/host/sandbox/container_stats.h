// From the agent's counters of a container to the sandbox's own.
#pragma once

#include "host/agent/messages.h"
#include "host/sandbox/types.h"

namespace kata::sandbox {

ContainerStats to_stats(const agent::ContainerCounters& counters);

}  // namespace kata::sandbox
