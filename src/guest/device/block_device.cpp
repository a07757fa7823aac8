#include "guest/device/block_device.h"

#include <cerrno>
#include <charconv>
#include <string_view>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "guest/boot/modules.h"
#include "guest/device/pci_path.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

namespace kata::device {
namespace {

std::vector<std::string> entries_of(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const stream = ::opendir(folder.c_str());
  if (stream == nullptr) return names;
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  return names;
}

// The disk in <folder>/block, if it has one.
std::optional<std::string> disk_in(const std::string& folder, const DeviceTree& tree) {
  const auto names = entries_of(folder + "/block");
  if (names.empty()) return std::nullopt;
  return tree.dev + "/" + names.front();
}

// The disk of a virtio device below a transport's folder: <folder>/virtioN/block/<name>.
std::optional<std::string> virtio_disk(const std::string& folder, const DeviceTree& tree) {
  for (const std::string& name : entries_of(folder)) {
    if (!name.starts_with("virtio")) continue;
    if (auto disk = disk_in(folder + "/" + name, tree)) return disk;
  }
  return std::nullopt;
}

Error bad_address(const std::string& driver, const std::string& address, const char* expected) {
  return Error(Code::kInvalidArgument,
               driver + " device \"" + address.substr(0, 200) + "\": expected " + expected);
}

Lookup node_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree) {
  if (!address.starts_with("/dev/") || address.find("/../") != std::string::npos)
    throw bad_address(driver, address, "a node below /dev");
  const std::string node = tree.dev + address.substr(4);
  return [node] { return std::optional(node); };
}

Lookup pci_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree) {
  if (address.starts_with("/dev/")) return node_lookup(driver, address, tree);
  auto path = parse_pci_path(address);
  if (!path) throw path.error();
  return [path = std::move(*path), tree]() -> std::optional<std::string> {
    const auto folder = find_pci_device(tree.sysfs, path);
    return folder ? virtio_disk(*folder, tree) : std::nullopt;
  };
}

Lookup ccw_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree) {
  if (address.empty() || address.find_first_not_of("0123456789abcdefABCDEF.") != std::string::npos)
    throw bad_address(driver, address, "a device number like 0.0.0005");
  return [address, tree] { return virtio_disk(tree.sysfs + "/bus/ccw/devices/" + address, tree); };
}

// Asks every SCSI host to look at this address: without it a new LUN is not seen.
void scan_scsi(const DeviceTree& tree, const std::string& id, const std::string& lun) {
  const std::string hosts = tree.sysfs + "/class/scsi_host";
  for (const std::string& host : entries_of(hosts)) {
    try {
      write_existing(hosts + "/" + host + "/scan", "0 " + id + " " + lun);
    } catch (const Error& error) {
      log::warning("SCSI host not scanned", {{"host", host}, {"error", error.message()}});
    }
  }
}

Lookup scsi_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree) {
  const size_t colon = address.find(':');
  const std::string id = address.substr(0, colon);
  const std::string lun = colon == std::string::npos ? "" : address.substr(colon + 1);
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!is_number(id) || !is_number(lun)) throw bad_address(driver, address, "<scsi id>:<lun>");
  return [tree, id, lun, scanned = false]() mutable -> std::optional<std::string> {
    const std::string devices = tree.sysfs + "/class/scsi_device";
    for (const std::string& name : entries_of(devices)) {
      if (name.ends_with(":0:" + id + ":" + lun)) {
        if (auto disk = disk_in(devices + "/" + name + "/device", tree)) return disk;
      }
    }
    if (!scanned) scan_scsi(tree, id, lun);
    scanned = true;
    return std::nullopt;
  };
}

// The kernel makes the node a moment before it has the disk, and tells of it after that.
bool is_usable_node(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISBLK(info.st_mode)) return false;
  const UniqueFd disk(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  return disk || (errno != ENXIO && errno != ENODEV);
}

Awaitable<std::string> look_until_there(const UeventWatcher& watcher, Lookup lookup) {
  for (;;) {
    // Taken before looking: an event in between is not missed.
    const auto changed = watcher.next_event();
    if (const auto answer = lookup()) co_return *answer;
    co_await changed->wait();
  }
}

// The driver's module, which a guest without disks at its boot does not have yet.
void load_driver(const std::string& driver) {
  if (driver == "blk" || driver == "mmioblk" || driver == "blk-ccw") boot::load_on_demand("virtio:2");
  if (driver == "scsi") boot::load_on_demand("virtio:8");
}

}  // namespace

Lookup block_lookup(const std::string& driver, const std::string& address, const DeviceTree& tree) {
  load_driver(driver);
  if (driver == "blk") return pci_lookup(driver, address, tree);
  if (driver == "blk-ccw") return ccw_lookup(driver, address, tree);
  if (driver == "scsi") return scsi_lookup(driver, address, tree);
  if (driver == "mmioblk" || driver == "nvdimm") return node_lookup(driver, address, tree);
  throw Error(Code::kInvalidArgument, "device type " + driver.substr(0, 100) + " is unknown");
}

Lookup link_lookup(const std::string& device_path, const DeviceTree& tree) {
  std::function<std::optional<std::string>()> folder;
  if (device_path.find('.') != std::string::npos && device_path.find('/') == std::string::npos &&
      device_path.size() > 5) {
    folder = [path = tree.sysfs + "/bus/ccw/devices/" + device_path] { return std::optional(path); };
  } else {
    auto path = parse_pci_path(device_path);
    if (!path) throw path.error().within("interface.devicePath");
    folder = [path = std::move(*path), tree] { return find_pci_device(tree.sysfs, path); };
  }
  return [folder]() -> std::optional<std::string> {
    const auto device = folder();
    if (!device) return std::nullopt;
    // A virtio function has a child between; others have the link at once.
    std::vector<std::string> places = {*device};
    for (const std::string& name : entries_of(*device)) {
      if (name.starts_with("virtio")) places.push_back(*device + "/" + name);
    }
    for (const std::string& place : places) {
      const auto names = entries_of(place + "/net");
      if (!names.empty()) return names.front();
    }
    return std::nullopt;
  };
}

Awaitable<std::string> wait_for(const UeventWatcher& watcher, Lookup lookup, std::string what,
                                Duration limit) {
  co_return co_await with_deadline(look_until_there(watcher, std::move(lookup)), limit, std::move(what));
}

Awaitable<std::string> wait_for_device(const UeventWatcher& watcher, Lookup lookup, std::string what,
                                       Duration limit) {
  Lookup with_node = [lookup = std::move(lookup)]() -> std::optional<std::string> {
    auto node = lookup();
    return node && is_usable_node(*node) ? node : std::nullopt;
  };
  co_return co_await wait_for(watcher, std::move(with_node), std::move(what), limit);
}

}  // namespace kata::device
