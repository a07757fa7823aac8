// Kernel modules that the guest image lists for boot.
#pragma once

#include <string>
#include <vector>

namespace kata::boot {

inline constexpr const char* kModuleList = "/lib/modules/kata-modules.load";

// The paths of the list: one a line, in the order of loading; blank lines and '#' comments are passed over.
std::vector<std::string> parse_module_list(std::string_view text);

// Loads the modules of the list at `list_path` with finit_module(2). No list is no work; a module that is
// loaded already is fine; any other failure is a warning, since what needs the module fails with its own
// message. Returns how many were loaded.
int load_listed_modules(const std::string& list_path);

}  // namespace kata::boot
