// The spec that containerd gives a simple container: its mounts, namespaces, capabilities, masks.
#pragma once

#include <string>
#include <vector>

#include "guest/container/launcher.h"

namespace kata::container {

// Without an id, a bundle and a cgroup path.
LaunchSpec sample_spec(std::vector<std::string> args, const std::string& rootfs);

}  // namespace kata::container
