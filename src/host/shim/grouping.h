// Which sandbox a bundle belongs to.
#pragma once

#include <string>

namespace kata::shim {

// By the annotations of <bundle>/config.json; without that file (Sandbox API) by <bundle>/sandbox, which
// newer containerd writes; else `id` itself. Throws kInvalidArgument for a config.json that cannot be read or
// that contradicts itself.
std::string sandbox_id_of_bundle(const std::string& bundle, const std::string& id);

}  // namespace kata::shim
