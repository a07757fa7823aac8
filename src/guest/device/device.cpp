#include "guest/device/device.h"

#include <algorithm>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/error/error.h"

namespace kata::device {
namespace {

constexpr uint32_t kDefaultMode = 0666;

struct Numbers {
  std::string type;
  int64_t major = 0, minor = 0;
};

// One node of the spec that gets the guest's numbers.
struct Change {
  oci::Device* node;
  Numbers before, after;
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

void check(const Device& device) {
  if (device.type.empty()) refuse(device, "type is empty");
  if (device.id.empty() && device.vm_path.empty()) refuse(device, "id and vm_path are empty");
  if (device.container_path.empty()) refuse(device, "container_path is empty");
}

Numbers numbers_of_node(const std::string& node) {
  struct stat info{};
  if (::stat(node.c_str(), &info) != 0) throw_errno("looking at " + node);
  return {.type = S_ISBLK(info.st_mode) ? "b" : "c",
          .major = static_cast<int64_t>(major(info.st_rdev)),
          .minor = static_cast<int64_t>(minor(info.st_rdev))};
}

bool is_for(const oci::DeviceCgroupRule& rule, const Numbers& numbers) {
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

}  // namespace

Awaitable<> add_devices(std::vector<Device> devices, NodeFinder finder, oci::Spec& spec) {
  if (devices.empty()) co_return;
  if (!spec.linux_config) spec.linux_config.emplace();
  std::vector<Change> changes;
  std::set<std::string> seen;
  for (const Device& device : devices) {
    check(device);
    if (!seen.insert(device.container_path).second) refuse(device, "container_path is used twice");
    const auto node =
        std::ranges::find(spec.linux_config->devices, device.container_path, &oci::Device::path);
    if (node == spec.linux_config->devices.end())
      refuse(device, "container_path is not in OCI.Linux.Devices");
    const std::string found = co_await finder(device.type, address_of(device));
    changes.push_back({.node = &*node,
                       .before = {.type = node->type, .major = node->major, .minor = node->minor},
                       .after = numbers_of_node(found)});
  }
  renumber(changes, *spec.linux_config);
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
