// The mounts of a spec as the init stage makes them.
#pragma once

#include <vector>

#include "guest/container/plan.h"
#include "lib/oci/spec.h"

namespace kata::container {

// `unified`: the guest has cgroup v2. kInvalidArgument names the mount's destination. Id mappings are left to
// the caller.
std::vector<MountPlan> plan_mounts(const std::vector<oci::Mount>& mounts, bool unified);

}  // namespace kata::container
