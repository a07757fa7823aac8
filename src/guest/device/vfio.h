// Passed-through devices: PCI functions (vfio-pci, vfio-pci-gk) and s390x crypto queues (vfio-ap), see
// agent-api, section 5.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "guest/device/block_device.h"
#include "guest/device/device.h"
#include "lib/oci/spec.h"

namespace kata::device {

struct VfioOption {
  // "0000:3b:00.0"
  std::string host;
  std::string guest_path;
};
// The options `<host address>=<guest PCI path>` of a vfio-pci device; those without a guest path are left
// out. kInvalidArgument names the option.
std::vector<VfioOption> vfio_options(const Device& device);
// The options of a vfio-ap device, each a queue like "0a.0003" in lower case.
std::vector<std::string> ap_queues(const Device& device);

// Further kinds of look-ups, asked of a NodeFinder by these names; none is a device type of the host.
inline constexpr const char* kFindPciFunction = "PCI function at";  // PCI path → folder in sysfs
inline constexpr const char* kFindVfioGroup = "VFIO group of";      // that folder → "/dev/vfio/7"
inline constexpr const char* kFindCryptoQueue = "crypto queue";     // "0a.0003" → "/dev/z90crypt"
// The look-up for one of these, none for other names.
std::optional<Lookup> passthrough_lookup(const std::string& what, const std::string& address,
                                         const DeviceTree& tree = {});

// Takes the function at this folder of sysfs from its driver and gives it to vfio-pci.
void bind_to_vfio(const std::string& folder, const DeviceTree& tree = {});

// Puts the guest's addresses in the place of the host's in PCIDEVICE_* values. A list of addresses with one
// that the map does not have is kInvalidArgument; in the free form of *_INFO those that are known are
// replaced. An empty map leaves everything alone.
void rewrite_pci_environment(std::vector<std::string>& environment, const PciMap& map);

// What RDMA needs beside the function: the guest's nodes in /dev/infiniband.
void add_infiniband_nodes(oci::Linux& config, const DeviceTree& tree = {});

}  // namespace kata::device
