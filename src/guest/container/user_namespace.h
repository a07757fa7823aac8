// Id maps: of a container's user namespace, and of id-mapped mounts.
#pragma once

#include <sys/types.h>
#include <vector>

#include "guest/container/plan.h"
#include "lib/fd/unique_fd.h"
#include "lib/oci/spec.h"

namespace kata::container {

// Writes the maps of the namespace that process `pid` is in. Throws Error naming the file; kInvalidArgument
// when a map is empty.
void map_user_namespace(pid_t pid, const std::vector<oci::IdMapping>& uids,
                        const std::vector<oci::IdMapping>& gids);

// The id outside of the namespace; the id itself where nothing maps it.
uint32_t outer_id(uint32_t id, const std::vector<oci::IdMapping>& mappings);

// Makes the tree of every id-mapped mount of `spec` (mappings of its own, or the words idmap, ridmap with
// those of the container) and notes it in the plan; the descriptors are appended to `passed`, whose first has
// number kJoinFd in the stage. Keep the result until the stage runs.
std::vector<UniqueFd> make_id_mapped_trees(const oci::Spec& spec, ContainerPlan& plan,
                                           std::vector<int>& passed);

}  // namespace kata::container
