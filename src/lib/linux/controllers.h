// cgroup v2: handing controllers down to the children of a cgroup.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lib/error/error.h"

namespace kata::kernel {

// Makes every controller that the cgroup at `folder` has available to its children: in one write, since each
// write stops all processes for a moment, and one by one when the kernel refuses that. A controller that
// cannot be handed down (another manager's processes in the way) is told to `refused` and left. Throws when
// the folder is no cgroup.
void delegate_controllers(const std::string& folder,
                          const std::function<void(std::string_view controller, const Error&)>& refused);

}  // namespace kata::kernel
