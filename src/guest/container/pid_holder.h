// Pid 1 of a process namespace that several containers share: does nothing but reap, and lives until it is
// killed, which ends everything in the namespace.
#pragma once

#include "guest/container/spawn.h"

namespace kata::container {

// The holder's own program. main() calls it before anything else:
//   if (container::is_pid_holder(argc, argv)) return container::run_pid_holder();
bool is_pid_holder(int argc, char** argv);
int run_pid_holder();

// Returns once the holder runs; it can be joined by /proc/<pid>/ns/pid from then on.
Spawned start_pid_holder();

}  // namespace kata::container
