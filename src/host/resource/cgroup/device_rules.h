// Which devices the processes of a sandbox may open: rules of the v1 devices controller.
// Source: the kernel's admin-guide/cgroup-v1/devices.rst; numbers of misc devices are read from /proc/misc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::node_cgroup {

// Lines for devices.allow after "a" was denied. Nodes of every kind may be made (the guest's files are made
// by virtiofsd) and every disk be opened (the shim opens those that the pod asks for); of character devices
// only those that a VMM, virtiofsd and the shim use. `proc_misc` and `proc_devices` are the texts of those
// files.
std::vector<std::string> vmm_device_rules(std::string_view proc_misc, std::string_view proc_devices);

}  // namespace kata::node_cgroup
