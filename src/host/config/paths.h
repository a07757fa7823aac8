// Paths of the host that configuration values name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "host/config/config.h"

namespace kata::config {

// realpath(3); none when the path leads nowhere.
std::optional<std::string> real_path(const std::string& path);

// Whether the list of globs (glob(7)) allows the value: literally, or because a pattern's expansion is the
// same file.
bool allowed_by_globs(const std::string& value, const StringList& patterns);

}  // namespace kata::config
