// The answer to `-info`: what this runtime is and can (facts: containerd-shim-api, section 4).
#pragma once

#include <string>

namespace kata::shim {

// A serialised containerd.types.RuntimeInfo.
std::string runtime_info();

}  // namespace kata::shim
