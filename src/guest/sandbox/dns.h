// The sandbox's resolv.conf.
#pragma once

#include <string>
#include <vector>

namespace kata::sandbox {

// Writes the lines to the sandbox's folder and puts that file over /etc/resolv.conf, if the guest has one.
// Nothing happens for an empty list.
void set_up_dns(const std::vector<std::string>& lines);
void remove_dns();

}  // namespace kata::sandbox
