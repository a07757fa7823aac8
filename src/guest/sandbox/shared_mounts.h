// Mounts that one container made and another gets: `shared_mounts` of CreateContainer.
#pragma once

#include <string>
#include <sys/types.h>

#include "lib/async/awaitable.h"

namespace kata::sandbox {

struct SharedMount {
  std::string name;
  // The name of a container (its CRI annotation), not an id.
  std::string source_container;
  std::string source_path;
  std::string target_path;
};

// Clones the mounts at and below source_path of the process `source` to target_path of the process `target`,
// each seen in its own mount namespace. Waits up to 10 s for the source to have something mounted there;
// afterwards the mount is left out with a warning, as the original does. Other failures throw.
Awaitable<> share_mount(SharedMount mount, pid_t source, pid_t target);

}  // namespace kata::sandbox
