// Where a sandbox's control groups lie on the node: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/linux/cgroup_layout.h"

namespace kata::node_cgroup {

// sandbox_cgroup_only of the configuration: everything in the pod's cgroup, or only the vCPUs, with shim,
// helpers and the VMM's own threads in an overhead cgroup that no limit of the pod touches.
enum class Placement { kSandboxOnly, kOverhead };

struct CgroupPlan {
  // Paths below each hierarchy, with a leading slash.
  std::string sandbox;
  // Empty with kSandboxOnly.
  std::string overhead;
};

// `cgroups_path` is linux.cgroupsPath of the sandbox's spec: "/a/b", "slice:prefix:name" (systemd's form), or
// empty. kInvalidArgument when it leads out of the hierarchy or names the hierarchy's own root.
CgroupPlan plan_cgroups(std::string_view cgroups_path, const std::string& sandbox_id, Placement placement);

// Every folder that the plan needs, parents first: what may have to be made, and removed in reverse order.
std::vector<std::string> folders_of(const CgroupPlan& plan, const kernel::CgroupLayout& layout);

// v2, kOverhead: where the vCPU threads go, below the sandbox's cgroup. They may move only inside one
// threaded tree, and the process that they belong to is in the sandbox's cgroup.
inline constexpr std::string_view kVcpuFolder = "/vcpus";

}  // namespace kata::node_cgroup
