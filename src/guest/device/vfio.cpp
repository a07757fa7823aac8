#include "guest/device/vfio.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sys/stat.h>

#include <unistd.h>

#include "guest/device/node_numbers.h"
#include "guest/device/pci_path.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDriver = "vfio-pci";

[[noreturn]] void refuse(const Device& device, const std::string& option, const char* expected) {
  throw Error(Code::kInvalidArgument, "device " + device.container_path.substr(0, 200) + " (type " +
                                          device.type + "): option \"" + option.substr(0, 200) +
                                          "\": expected " + expected);
}

bool is_hex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// "0000:3b:00.0" of text that may leave the domain out; empty if it is no address.
std::string pci_address(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  if (text.size() == 7) text.insert(0, "0000:");
  const bool good = text.size() == 12 && text[4] == ':' && text[7] == ':' && text[10] == '.' &&
                    is_hex(text.substr(0, 4)) && is_hex(text.substr(5, 2)) && is_hex(text.substr(8, 2)) &&
                    text[11] >= '0' && text[11] <= '7';
  return good ? text : "";
}

std::string link_name(const std::string& path) {
  std::error_code error;
  return fs::read_symlink(path, error).filename();
}

Lookup function_lookup(const std::string& address, const DeviceTree& tree) {
  auto path = parse_pci_path(address);
  if (!path) throw path.error();
  return [path = std::move(*path), tree] { return find_pci_device(tree.sysfs, path); };
}

Lookup group_lookup(const std::string& folder, const DeviceTree& tree) {
  return [folder, tree]() -> std::optional<std::string> {
    if (link_name(folder + "/driver") != kDriver) return std::nullopt;
    const std::string group = link_name(folder + "/iommu_group");
    std::string node = tree.dev + "/vfio/" + group;
    if (group.empty() || ::access(node.c_str(), F_OK) != 0) return std::nullopt;
    return node;
  };
}

Lookup queue_lookup(const std::string& queue, const DeviceTree& tree) {
  return [queue, tree]() -> std::optional<std::string> {
    const std::string folder = tree.sysfs + "/devices/ap/card" + queue.substr(0, 2) + "/" + queue;
    std::string node = tree.dev + "/z90crypt";
    if (::access(folder.c_str(), F_OK) != 0 || ::access(node.c_str(), F_OK) != 0) return std::nullopt;
    return node;
  };
}

std::string translated(const std::string& name, std::string_view list, const PciMap& map) {
  std::string out;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string address(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    const auto found = map.find(pci_address(address));
    if (found == map.end()) {
      throw Error(Code::kInvalidArgument, "environment variable " + name.substr(0, 200) +
                                              ": no device of the container has the host's address " +
                                              address.substr(0, 100));
    }
    out += (out.empty() ? "" : ",") + found->second;
  }
  return out;
}

// All in one pass: a guest's address may be the host's of another.
std::string replaced(std::string_view text, const PciMap& map) {
  std::string out;
  while (!text.empty()) {
    const auto found =
        std::ranges::find_if(map, [&](const auto& pair) { return text.starts_with(pair.first); });
    if (found == map.end()) {
      out += text.front();
      text.remove_prefix(1);
    } else {
      out += found->second;
      text.remove_prefix(found->first.size());
    }
  }
  return out;
}

}  // namespace

std::vector<VfioOption> vfio_options(const Device& device) {
  constexpr const char* kForm = "<host PCI address>=<guest PCI path>";
  std::vector<VfioOption> options;
  for (const std::string& option : device.options) {
    const size_t equals = option.find('=');
    const std::string host = pci_address(option.substr(0, equals));
    if (equals == std::string::npos || host.empty()) refuse(device, option, kForm);
    std::string path = option.substr(equals + 1);
    if (path.empty()) continue;
    if (!parse_pci_path(path)) refuse(device, option, kForm);
    options.push_back({.host = host, .guest_path = std::move(path)});
  }
  return options;
}

std::vector<std::string> ap_queues(const Device& device) {
  std::vector<std::string> queues;
  for (std::string option : device.options) {
    if (option.size() != 7 || option[2] != '.' || !is_hex(option.substr(0, 2)) || !is_hex(option.substr(3)))
      refuse(device, option, "a crypto queue like 0a.0003");
    std::ranges::transform(option, option.begin(), [](unsigned char c) { return std::tolower(c); });
    queues.push_back(std::move(option));
  }
  return queues;
}

std::optional<Lookup> passthrough_lookup(const std::string& what, const std::string& address,
                                         const DeviceTree& tree) {
  if (what == kFindPciFunction) return function_lookup(address, tree);
  if (what == kFindVfioGroup) return group_lookup(address, tree);
  if (what == kFindCryptoQueue) return queue_lookup(address, tree);
  return std::nullopt;
}

void bind_to_vfio(const std::string& folder, const DeviceTree& tree) {
  const std::string address = fs::path(folder).filename();
  const std::string driver = link_name(folder + "/driver");
  if (driver == kDriver) return;
  with_context("handing PCI function " + address + " to " + kDriver, [&] {
    write_existing(folder + "/driver_override", kDriver);
    if (!driver.empty()) write_existing(folder + "/driver/unbind", address);
    write_existing(tree.sysfs + "/bus/pci/drivers_probe", address);
  });
}

void rewrite_pci_environment(std::vector<std::string>& environment, const PciMap& map) {
  if (map.empty()) return;
  for (std::string& entry : environment) {
    if (!entry.starts_with("PCIDEVICE_")) continue;
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    const std::string_view value = std::string_view(entry).substr(equals + 1);
    const std::string guest = name.ends_with("_INFO") ? replaced(value, map) : translated(name, value, map);
    entry = name + "=" + guest;
  }
}

void add_infiniband_nodes(oci::Linux& config, const DeviceTree& tree) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(tree.dev + "/infiniband", none)) {
    struct stat info{};
    if (::stat(entry.path().c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) continue;
    const std::string path = "/dev/infiniband/" + entry.path().filename().string();
    if (std::ranges::find(config.devices, path, &oci::Device::path) != config.devices.end()) continue;
    const NodeNumbers numbers = numbers_of(info);
    config.devices.push_back({.path = path,
                              .type = numbers.type,
                              .major = numbers.major,
                              .minor = numbers.minor,
                              .file_mode = info.st_mode & 07777,
                              .uid = info.st_uid,
                              .gid = info.st_gid});
    if (!config.resources) config.resources.emplace();
    config.resources->devices.push_back({.allow = true,
                                         .type = numbers.type,
                                         .major = numbers.major,
                                         .minor = numbers.minor,
                                         .access = "rwm"});
  }
}

}  // namespace kata::device
