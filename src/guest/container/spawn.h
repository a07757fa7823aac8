// Starts the init stage: this program again, in new namespaces and in the container's cgroup.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "lib/fd/unique_fd.h"

namespace kata::container {

struct SpawnRequest {
  // The argument that tells this program what to be.
  const char* stage = "init";
  // CLONE_NEW* of clone3(2).
  uint64_t namespaces = 0;
  // v2: directory of the cgroup to start in; -1 = the agent's own.
  int cgroup_fd = -1;
  // v1: files into which the child writes "0".
  std::vector<std::string> cgroup_entry_files;
  // A namespace file or a pidfd whose pid namespace the child is born in; -1 = the agent's (or a new one by
  // the flags).
  int pid_namespace_fd = -1;
  // Namespace files (and their CLONE_NEW*) that the child is born in, which the calling thread enters for the
  // time of the clone: for a new user namespace only, which could not join them itself.
  std::vector<std::pair<int, int>> birth_namespaces;
  // Descriptors for 0, 1, 2 of the child; -1 = /dev/null.
  std::array<int, 3> stdio = {-1, -1, -1};
  // Descriptors for 3 and up (plan.h); -1 leaves the number closed.
  std::vector<int> descriptors;
};

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Returns once the stage runs (its exec succeeded). The calling thread is suspended until then and shares its
// memory with the child, which therefore allocates nothing. Throws Error naming the step.
Spawned spawn_init_stage(const SpawnRequest& request);

}  // namespace kata::container
