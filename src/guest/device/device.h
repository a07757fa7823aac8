// Devices of containers (agent-api, section 5): what the host plugged, as nodes in the container's spec.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::device {

struct Device {
  std::string id;
  std::string type;
  std::string vm_path;
  std::string container_path;
  std::vector<std::string> options;
};

// The guest's PCI address of each passed-through function by the host's ("0000:3b:00.0").
using PciMap = std::map<std::string, std::string>;

// Answers the guest's node for a device type and its address, or one of the look-ups of vfio.h.
using NodeFinder = std::function<Awaitable<std::string>(std::string type, std::string address)>;

// Waits for each device and rewrites its numbers in linux.devices and in the device cgroup rules; adds an
// allow rule. Passed-through devices get the node of their group, and answer where their functions are.
// kInvalidArgument names the device and what is wrong with it.
Awaitable<PciMap> add_devices(std::vector<Device> devices, NodeFinder finder, oci::Spec& spec);

// Nodes without a mode get that of the node at the same path in the guest, or 0666.
void complete_device_modes(oci::Spec& spec);

}  // namespace kata::device
