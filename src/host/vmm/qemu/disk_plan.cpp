#include "host/vmm/qemu/disk_plan.h"

#include <array>
#include <cstdio>
#include <utility>

#include <fcntl.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vmm::qemu {
namespace {

namespace json = boost::json;

// Sets of one disk lie together: its number in the upper part.
constexpr uint32_t kSetsPerDisk = 1024;

std::string hex(unsigned number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", number);
  return text.data();
}

std::string set_path(uint32_t number) {
  return "/dev/fdset/" + std::to_string(number);
}

void add_sets(DiskPlan& plan, const DiskSpec& disk) {
  const uint32_t base = disk.number * kSetsPerDisk;
  const std::string owner = "kata-block:" + disk.id + ":";
  if (disk.extents.empty()) {
    plan.sets.push_back({.number = base, .fd = disk.files.at(0), .opaque = owner + "block-source"});
    return;
  }
  std::vector<uint32_t> numbers;
  for (size_t i = 0; i < disk.files.size(); ++i) {
    numbers.push_back(base + 1 + static_cast<uint32_t>(i));
    plan.sets.push_back({.number = numbers.back(),
                         .fd = disk.files[i],
                         .opaque = owner + "vmdk-extent-" + std::to_string(i)});
  }
  plan.descriptor = memory_file("kata-vmdk", vmdk_descriptor(disk.extents, numbers), 0, "a disk descriptor");
  plan.sets.push_back({.number = base, .fd = plan.descriptor.get(), .opaque = owner + "vmdk-descriptor"});
}

json::object protocol_node(const DiskPlan& plan, const DiskSpec& disk, const BlockSettings& block) {
  json::object node;
  const bool device = disk.backing == DiskSpec::Backing::kBlockDevice && disk.extents.empty();
  node["driver"] = device ? "host_device" : "file";
  node["filename"] = plan.sets.empty() ? disk.path : set_path(disk.number * kSetsPerDisk);
  node["read-only"] = disk.readonly;
  if (!block.aio.empty() && disk.extents.empty()) node["aio"] = block.aio;
  if (!disk.readonly) node["discard"] = "unmap";
  return node;
}

void add_cache(json::object& node, const DiskSpec& disk, const BlockSettings& block) {
  // The parts of a composed disk are opened by QEMU's own rules.
  if (!disk.extents.empty() || (!block.cache_direct && !block.cache_no_flush)) return;
  json::object cache;
  cache["direct"] = block.cache_direct;
  cache["no-flush"] = block.cache_no_flush;
  node["cache"] = std::move(cache);
}

bool is_limited(const BlockSettings& block) {
  return block.max_bytes != 0 || block.max_operations != 0;
}

// A burst of one second at most: QEMU's bucket is a rate, not an amount.
void add_limit(json::object& limits, const char* name, uint64_t rate, uint64_t burst) {
  if (rate == 0) return;
  limits[std::string(name) + "-total"] = rate;
  if (burst != 0) limits[std::string(name) + "-total-max"] = rate + burst;
}

void add_throttle(DiskPlan& plan, const DiskSpec& disk, const BlockSettings& block) {
  plan.object_id = "limit-" + disk.id;
  json::object limits;
  add_limit(limits, "bps", block.max_bytes, block.max_bytes_burst);
  add_limit(limits, "iops", block.max_operations, block.max_operations_burst);
  json::object group;
  group["qom-type"] = "throttle-group";
  group["id"] = plan.object_id;
  group["limits"] = std::move(limits);
  plan.object = json::serialize(group);
}

void add_nodes(DiskPlan& plan, const DiskSpec& disk, const BlockSettings& block) {
  const bool limited = is_limited(block);
  if (limited) add_throttle(plan, disk, block);
  json::object node;
  node["driver"] = disk.extents.empty() ? "raw" : "vmdk";
  node["node-name"] = limited ? "image-" + disk.id : disk.id;
  node["read-only"] = disk.readonly;
  // Others may have the file open: containerd, or another VM that reads the same layer.
  if (disk.readonly) node["force-share"] = true;
  if (!disk.readonly) node["discard"] = "unmap";
  add_cache(node, disk, block);
  json::object file = protocol_node(plan, disk, block);
  add_cache(file, disk, block);
  node["file"] = std::move(file);
  plan.node_names.emplace_back(node["node-name"].as_string());
  plan.nodes.push_back(json::serialize(node));
  if (!limited) return;
  json::object filter;
  filter["driver"] = "throttle";
  filter["node-name"] = disk.id;
  filter["throttle-group"] = plan.object_id;
  filter["file"] = plan.node_names.front();
  filter["read-only"] = disk.readonly;
  if (disk.readonly) filter["force-share"] = true;
  plan.node_names.push_back(disk.id);
  plan.nodes.push_back(json::serialize(filter));
}

void put_place(json::object& device, const PciPlace& place) {
  device["bus"] = place.port.empty() ? "pcie.0" : place.port;
  device["addr"] = hex(place.slot);
}

void add_sector_sizes(json::object& device, const DiskSpec& disk, const BlockSettings& block) {
  if (disk.own_sector_sizes) return;
  if (block.logical_sector != 0) device["logical_block_size"] = block.logical_sector;
  if (block.physical_sector != 0) device["physical_block_size"] = block.physical_sector;
}

json::object scsi_device(const DiskSpec& disk) {
  json::object device;
  device["driver"] = "scsi-hd";
  device["bus"] = disk.scsi->controller + ".0";
  device["scsi-id"] = disk.scsi->target;
  device["lun"] = disk.scsi->lun;
  return device;
}

json::object pci_device(const DiskSpec& disk, const BlockSettings& block) {
  json::object device;
  device["driver"] = "virtio-blk-pci";
  if (disk.pci) put_place(device, *disk.pci);
  device["disable-legacy"] = "on";
  if (block.queues != 0) device["num-queues"] = block.queues;
  if (block.queue_size != 0) device["queue-size"] = block.queue_size;
  if (block.has_own_threads() && disk.iothread)
    device["iothread"] = "indep_iothread_" + std::to_string(*disk.iothread % block.indep_iothreads);
  return device;
}

}  // namespace

bool has_controller_thread(const BlockSettings& block) {
  return block.enable_iothreads && block.driver == "virtio-scsi";
}

std::string vmdk_descriptor(const std::vector<DiskExtent>& extents,
                            const std::vector<uint32_t>& set_of_file) {
  constexpr uint64_t kSectorsPerCylinder = uint64_t{16} * 63;
  std::string text =
      "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
      "createType=\"twoGbMaxExtentFlat\"\n\n# Extent description\n";
  uint64_t total = 0;
  for (const DiskExtent& extent : extents) {
    total += extent.sectors;
    text += "RW " + std::to_string(extent.sectors) + " FLAT \"" + set_path(set_of_file.at(extent.file)) +
            "\" " + std::to_string(extent.offset) + "\n";
  }
  const uint64_t cylinders = (total + kSectorsPerCylinder - 1) / kSectorsPerCylinder;
  text += "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"" +
          std::to_string(cylinders) +
          "\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n";
  return text;
}

DiskPlan plan_disk(const DiskSpec& disk, const BlockSettings& block, PlugTime time) {
  const bool one_file = disk.extents.empty() && disk.files.size() == 1;
  const bool composed = !disk.extents.empty() && disk.readonly && disk.files.size() + 1 < kSetsPerDisk;
  if (disk.files.empty() == disk.path.empty() || (!disk.files.empty() && !one_file && !composed))
    throw Error(Code::kInvalidArgument,
                "disk " + disk.id + ": it must be one path, one file, or a read-only list of parts");
  DiskPlan plan;
  if (!disk.files.empty()) add_sets(plan, disk);
  add_nodes(plan, disk, block);
  json::object device = disk.scsi ? scsi_device(disk) : pci_device(disk, block);
  device["id"] = disk.id;
  device["drive"] = disk.id;
  if (!disk.readonly && (!disk.scsi || time == PlugTime::kRunning)) device["share-rw"] = true;
  if (!disk.serial.empty()) device["serial"] = disk.serial;
  add_sector_sizes(device, disk, block);
  plan.device = json::serialize(device);
  return plan;
}

std::string port_json(const PortSpec& port, size_t chassis) {
  json::object device;
  device["driver"] = "pcie-root-port";
  device["id"] = port.id;
  device["bus"] = "pcie.0";
  device["addr"] = hex(port.slot) + "." + std::to_string(port.function);
  device["multifunction"] = true;
  device["chassis"] = chassis;
  device["slot"] = chassis;
  return json::serialize(device);
}

std::string controller_json(const ScsiControllerSpec& controller, const BlockSettings& block) {
  json::object device;
  device["driver"] = "virtio-scsi-pci";
  device["id"] = controller.id;
  put_place(device, controller.place);
  device["disable-legacy"] = "on";
  if (block.queues != 0) device["num_queues"] = block.queues;
  if (has_controller_thread(block)) device["iothread"] = kControllerThread;
  return json::serialize(device);
}

}  // namespace kata::vmm::qemu
