// The id maps of a container's user namespace.
#pragma once

#include <sys/types.h>
#include <vector>

#include "lib/oci/spec.h"

namespace kata::container {

// Writes the maps of the namespace that process `pid` is in. Throws Error naming the file; kInvalidArgument
// when a map is empty.
void map_user_namespace(pid_t pid, const std::vector<oci::IdMapping>& uids,
                        const std::vector<oci::IdMapping>& gids);

}  // namespace kata::container
