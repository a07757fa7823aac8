// Kernel modules that the guest image lists for boot.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::boot {

inline constexpr const char* kModuleList = "/lib/modules/kata-modules.load";

// The paths of the list: one a line, in the order of loading; blank lines and '#' comments are passed over.
std::vector<std::string> parse_module_list(std::string_view text);

// The list in two parts: what the agent's socket needs (everything up to the last module of vsock), and the
// rest, which no start of a container waits for unless it asks for something that may be in there.
struct ModulePlan {
  std::vector<std::string> first, later;
};
ModulePlan plan_modules(std::vector<std::string> paths);

// A second list has a device in front of each path ("virtio:1 /lib/...", the number as virtio counts device
// types): modules that are loaded only where such a device is present.
inline constexpr const char* kDeviceModuleList = "/lib/modules/kata-modules.on-demand";
std::vector<std::string> modules_for(std::string_view list, const std::vector<std::string>& devices);
// "virtio:1", ...: the devices on the bus folder (/sys/bus/virtio/devices); none when it cannot be read.
std::vector<std::string> virtio_devices(const std::string& bus);

// Loads the modules that the second list has for a word, once: "virtio:2" when such a disk is about to be
// used, "fs:erofs" before a mount, "dm:verity". No list, no such word: nothing.
void load_on_demand(const std::string& word, const std::string& list_path = kDeviceModuleList);

// Read the lists; no list is an empty answer.
ModulePlan read_module_plan(const std::string& list_path = kModuleList);
std::vector<std::string> read_device_modules(const std::string& list_path = kDeviceModuleList);

// Loads one file with finit_module(2). A module that is loaded already is fine; any other failure is a
// warning, since what needs the module fails with its own message.
void load_module(const std::string& path);

}  // namespace kata::boot
