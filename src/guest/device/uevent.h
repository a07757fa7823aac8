// Kernel uevents: the messages of NETLINK_KOBJECT_UEVENT (lib/kobject_uevent.c): "action@devpath", then
// KEY=value, each ended by a zero byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kata::device {

struct Uevent {
  // "add", "remove", "change", "online", ...
  std::string action;
  // Below /sys.
  std::string devpath;
  std::string subsystem;
  // Node below /dev, if there is one.
  std::string devname;
};

// None for what is no kernel event (udev's messages begin otherwise).
std::optional<Uevent> parse_uevent(std::string_view message);

}  // namespace kata::device
