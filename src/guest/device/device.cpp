#include "guest/device/device.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <sys/stat.h>

#include "guest/device/node_numbers.h"
#include "guest/device/vfio.h"
#include "lib/error/error.h"

namespace kata::device {
namespace {

constexpr uint32_t kDefaultMode = 0666;

// One node of the spec that gets the guest's numbers.
struct Change {
  oci::Device* node;
  // Where the node lies in the container.
  std::string path;
  NodeNumbers before, after;
};

[[noreturn]] void refuse(const Device& device, const std::string& why) {
  throw Error(Code::kInvalidArgument, "device " + device.container_path.substr(0, 200) + " (type " +
                                          device.type.substr(0, 100) + "): " + why);
}

// What the finder is asked for: the node of those that are named by it, the address of the others.
std::string address_of(const Device& device) {
  const bool by_node = device.type == "mmioblk" || device.type == "nvdimm";
  return by_node ? device.vm_path : device.id;
}

constexpr std::array<std::string_view, 5> kBlockTypes = {"blk", "blk-ccw", "mmioblk", "nvdimm", "scsi"};

bool is_vfio(const Device& device) {
  return device.type == "vfio-pci" || device.type == "vfio-pci-gk";
}
bool is_ap(const Device& device) {
  return device.type == "vfio-ap" || device.type == "vfio-ap-cold";
}

void check(const Device& device) {
  if (device.type.empty()) refuse(device, "type is empty");
  if (!is_vfio(device) && !is_ap(device) && std::ranges::find(kBlockTypes, device.type) == kBlockTypes.end())
    refuse(device, "type is unknown");
  if (device.id.empty() && device.vm_path.empty()) refuse(device, "id and vm_path are empty");
  if (device.container_path.empty() && device.type != "vfio-pci-gk")
    refuse(device, "container_path is empty");
}

bool is_for(const oci::DeviceCgroupRule& rule, const NodeNumbers& numbers) {
  return rule.major == numbers.major && rule.minor == numbers.minor &&
         (rule.type == numbers.type || rule.type == "a" || rule.type.empty());
}

// All at once: the guest's numbers of one device may be the host's of another.
void renumber(const std::vector<Change>& changes, oci::Linux& config) {
  if (!config.resources) config.resources.emplace();
  for (oci::DeviceCgroupRule& rule : config.resources->devices) {
    const auto found =
        std::ranges::find_if(changes, [&](const Change& change) { return is_for(rule, change.before); });
    if (found == changes.end()) continue;
    rule.major = found->after.major;
    rule.minor = found->after.minor;
  }
  for (const Change& change : changes) {
    change.node->path = change.path;
    change.node->type = change.after.type;
    change.node->major = change.after.major;
    change.node->minor = change.after.minor;
    config.resources->devices.push_back({.allow = true,
                                         .type = change.after.type,
                                         .major = change.after.major,
                                         .minor = change.after.minor,
                                         .access = "rwm"});
  }
}

// The functions of a device as the guest has them; for vfio-pci they come into the hands of that driver, and
// the answer is the node of their common group.
Awaitable<std::string> pass_functions(Device device, NodeFinder finder, PciMap& map) {
  std::string group;
  for (const VfioOption& option : vfio_options(device)) {
    const std::string folder = co_await finder(kFindPciFunction, option.guest_path);
    map[option.host] = std::filesystem::path(folder).filename();
    if (device.type != "vfio-pci") continue;
    bind_to_vfio(folder);
    const std::string node = co_await finder(kFindVfioGroup, folder);
    if (!group.empty() && group != node) refuse(device, "its functions are in several groups of the guest");
    group = node;
  }
  co_return group;
}

Awaitable<std::string> find_node(Device device, NodeFinder finder, PciMap& map) {
  if (is_vfio(device)) co_return co_await pass_functions(device, finder, map);
  if (!is_ap(device)) co_return co_await finder(device.type, address_of(device));
  std::string node;
  for (const std::string& queue : ap_queues(device)) node = co_await finder(kFindCryptoQueue, queue);
  co_return node;
}

}  // namespace

Awaitable<PciMap> add_devices(std::vector<Device> devices, NodeFinder finder, oci::Spec& spec) {
  PciMap map;
  if (devices.empty()) co_return map;
  if (!spec.linux_config) spec.linux_config.emplace();
  std::vector<Change> changes;
  std::set<std::string> seen;
  for (const Device& device : devices) {
    check(device);
    if (device.type == "vfio-pci-gk") {
      co_await find_node(device, finder, map);
      continue;
    }
    if (!seen.insert(device.container_path).second) refuse(device, "container_path is used twice");
    const auto node =
        std::ranges::find(spec.linux_config->devices, device.container_path, &oci::Device::path);
    if (node == spec.linux_config->devices.end())
      refuse(device, "container_path is not in OCI.Linux.Devices");
    const std::string found = co_await find_node(device, finder, map);
    if (found.empty()) refuse(device, "no option names a device of the guest");
    changes.push_back({.node = &*node,
                       .path = is_vfio(device) || is_ap(device) ? found : node->path,
                       .before = {.type = node->type, .major = node->major, .minor = node->minor},
                       .after = numbers_of_node(found)});
  }
  renumber(changes, *spec.linux_config);
  if (std::ranges::any_of(devices, is_vfio)) add_infiniband_nodes(*spec.linux_config);
  co_return map;
}

void complete_device_modes(oci::Spec& spec) {
  if (!spec.linux_config) return;
  for (oci::Device& device : spec.linux_config->devices) {
    if (device.file_mode) continue;
    struct stat info{};
    const bool there =
        ::stat(device.path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode));
    device.file_mode = there ? info.st_mode & 07777 : kDefaultMode;
  }
}

}  // namespace kata::device
