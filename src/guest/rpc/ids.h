// Ids that come in requests.
#pragma once

#include <string>
#include <string_view>

#include "lib/error/error.h"

namespace kata::rpc {

// ^[A-Za-z0-9][A-Za-z0-9_.-]+$, at most 1024 characters: ids become names of folders and cgroups.
bool is_container_id(std::string_view id);
// As above, one character is enough.
bool is_exec_id(std::string_view id);

// Throw kInvalidArgument naming the field.
void check_container_id(const std::string& id);
// Empty (the init process) is allowed.
void check_exec_id(const std::string& id);

}  // namespace kata::rpc
