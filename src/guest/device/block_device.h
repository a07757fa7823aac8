// Finds what was plugged by what the host calls it: nodes of block devices, names of network links.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "guest/device/uevent_watcher.h"
#include "lib/async/awaitable.h"

namespace kata::device {

struct DeviceTree {
  std::string sysfs = "/sys";
  std::string dev = "/dev";
};

// A look-up that answers the node ("/dev/vda") or none while the device is not there.
using Lookup = std::function<std::optional<std::string>()>;

// The look-up for a driver (storage driver or device type) and its address:
//   blk      PCI path, or a node below /dev        blk-ccw  device number x.y.zzzz
//   scsi     <id>:<lun>                            mmioblk, nvdimm  a node below /dev
// kInvalidArgument for an address that is none, or an unknown driver.
Lookup block_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree = {});

// The name of the network link of a device at a PCI path or CCW device number.
Lookup link_lookup(const std::string& device_path, const DeviceTree& tree = {});

// Waits until the look-up answers. kDeadlineExceeded names `what`.
Awaitable<std::string> wait_for(const UeventWatcher& watcher, Lookup lookup, std::string what,
                                Duration limit);
// Waits until the look-up answers and the node exists. kDeadlineExceeded names driver and address.
Awaitable<std::string> wait_for_device(const UeventWatcher& watcher, Lookup lookup, std::string what,
                                       Duration limit);

}  // namespace kata::device
