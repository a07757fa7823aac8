// Finds the node of a block device by what the host calls it.
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

// Waits until the look-up answers and the node exists. kDeadlineExceeded names driver and address.
Awaitable<std::string> wait_for_device(const UeventWatcher& watcher, Lookup lookup, std::string what,
                                       Duration limit);

}  // namespace kata::device
