// The kernel asks for a module that it lacks by running /sbin/modprobe (kernel.modprobe in sysctl/kernel.rst
// of its documentation): in a guest that is the agent's program under that name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::boot {

// A list like that of the modules on demand (modules.h); its words are modules and aliases, '-' written as
// '_'.
inline constexpr const char* kRequestList = "/lib/modules/kata-modules.requests";

// The files for a request; none for an unknown one.
std::vector<std::string> modules_requested(std::string_view list, std::string word);

// Whether this program was started under that name.
bool is_modprobe(int argc, const char* const* argv);
// Loads what the last argument names. Returns the exit status: 0, or 1 when the list does not have it.
int run_modprobe(int argc, const char* const* argv);

}  // namespace kata::boot
