#include "host/vmm/qemu/disk_plan.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vmm::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

DiskSpec one_file() {
  DiskSpec disk;
  disk.id = "drive-3";
  disk.number = 3;
  disk.files = {9};
  disk.pci = PciPlace{.port = "hp0", .slot = 0};
  disk.iothread = 5;
  return disk;
}

TEST(DiskPlan, AFile) {
  const DiskPlan plan = plan_disk(one_file(), {}, PlugTime::kRunning);
  ASSERT_EQ(plan.sets.size(), 1U);
  EXPECT_EQ(plan.sets[0].number, 3072U);
  EXPECT_EQ(plan.sets[0].fd, 9);
  EXPECT_EQ(plan.sets[0].opaque, "kata-block:drive-3:block-source");
  EXPECT_THAT(plan.nodes,
              ElementsAre(R"({"driver":"raw","node-name":"drive-3","read-only":false,"discard":"unmap",)"
                          R"("file":{"driver":"file","filename":"/dev/fdset/3072","read-only":false,)"
                          R"("discard":"unmap"}})"));
  EXPECT_EQ(plan.device,
            R"({"driver":"virtio-blk-pci","bus":"hp0","addr":"0x0","disable-legacy":"on","id":"drive-3",)"
            R"("drive":"drive-3","share-rw":true})");
  EXPECT_THAT(plan.object, IsEmpty());
}

struct Row {
  const char* name;
  std::function<void(DiskSpec&, BlockSettings&)> change;
  std::string expected, absent = "nothing of this kind";
  PlugTime time = PlugTime::kRunning;
};

// All texts of a plan in one.
std::string text_of(const DiskPlan& plan) {
  std::string text = plan.object + "\n";
  for (const std::string& node : plan.nodes) text += node + "\n";
  return text + plan.device;
}

TEST(DiskPlan, EachSettingShows) {
  const std::vector<Row> rows = {
      {"read-only", [](auto& d, auto&) { d.readonly = true; },
       R"("read-only":true,"force-share":true,"file":{"driver":"file","filename":"/dev/fdset/3072","read-only":true)",
       "share-rw"},
      {"block device", [](auto& d, auto&) { d.backing = DiskSpec::Backing::kBlockDevice; },
       R"("driver":"host_device")"},
      {"root bus", [](auto& d, auto&) { d.pci = PciPlace{.port = "", .slot = 26}; },
       R"("bus":"pcie.0","addr":"0x1a")"},
      {"own path", [](auto& d, auto&) { d.files = {}, d.path = "/a,b"; }, R"("filename":"/a,b")", "fdset"},
      {"scsi", [](auto& d, auto&) { d.scsi = ScsiPlace{.controller = "scsi0", .target = 2, .lun = 7}; },
       R"("driver":"scsi-hd","bus":"scsi0.0","scsi-id":2,"lun":7)", "disable-legacy"},
      {"cold scsi", [](auto& d, auto&) { d.scsi = ScsiPlace{.controller = "scsi0", .target = 0, .lun = 1}; },
       R"("scsi-id":0,"lun":1)", "share-rw", PlugTime::kBeforeStart},
      {"io_uring", [](auto&, auto& b) { b.aio = "io_uring"; }, R"("aio":"io_uring")"},
      {"native", [](auto&, auto& b) { b.aio = "native", b.cache_direct = true; },
       R"("aio":"native","discard":"unmap","cache":{"direct":true,"no-flush":false})"},
      {"no flush", [](auto&, auto& b) { b.cache_no_flush = true; },
       R"("cache":{"direct":false,"no-flush":true})"},
      {"sector sizes", [](auto&, auto& b) { b.logical_sector = 512, b.physical_sector = 4096; },
       R"("logical_block_size":512,"physical_block_size":4096)"},
      {"partitioned", [](auto& d, auto& b) { b.logical_sector = 4096, d.own_sector_sizes = true; }, "",
       "logical_block_size"},
      {"queues", [](auto&, auto& b) { b.queues = 4, b.queue_size = 256; },
       R"("num-queues":4,"queue-size":256)"},
      {"serial", [](auto& d, auto&) { d.serial = "abc"; }, R"("serial":"abc")"},
      {"bytes a second", [](auto&, auto& b) { b.max_bytes = 1000, b.max_bytes_burst = 500; },
       R"({"qom-type":"throttle-group","id":"limit-drive-3","limits":{"bps-total":1000,"bps-total-max":1500}})"},
      {"operations a second", [](auto&, auto& b) { b.max_operations = 50; },
       R"({"driver":"throttle","node-name":"drive-3","throttle-group":"limit-drive-3","file":"image-drive-3")",
       "bps"},
  };
  for (const Row& row : rows) {
    DiskSpec disk = one_file();
    BlockSettings block;
    row.change(disk, block);
    const std::string text = text_of(plan_disk(disk, block, row.time));
    EXPECT_THAT(text, HasSubstr(row.expected)) << row.name;
    EXPECT_THAT(text, Not(HasSubstr(row.absent))) << row.name;
  }
}

TEST(DiskPlan, ThreadsNeedAllThreeConditions) {
  for (int bits = 0; bits < 8; ++bits) {
    BlockSettings block;
    block.enable_iothreads = (bits & 1) != 0;
    block.indep_iothreads = (bits & 2) != 0 ? 3 : 0;
    block.driver = (bits & 4) != 0 ? "virtio-blk-pci" : "virtio-scsi";
    const DiskPlan plan = plan_disk(one_file(), block, PlugTime::kRunning);
    // Disk 5 of three threads.
    EXPECT_EQ(plan.device.find(R"("iothread":"indep_iothread_2")") != std::string::npos, bits == 7) << bits;
    EXPECT_EQ(plan.device.find("iothread") != std::string::npos, bits == 7) << bits;
  }
}

TEST(DiskPlan, ManyFilesAreOneDisk) {
  DiskSpec disk = one_file();
  disk.readonly = true;
  disk.files = {9, 10};
  disk.extents = {{.file = 0, .sectors = 2048, .offset = 0},
                  {.file = 1, .sectors = 4194304, .offset = 0},
                  {.file = 1, .sectors = 5, .offset = 4194304}};
  BlockSettings block;
  block.aio = "native";
  block.cache_direct = true;
  const DiskPlan plan = plan_disk(disk, block, PlugTime::kRunning);
  std::vector<uint32_t> numbers;
  for (const FdSet& set : plan.sets) numbers.push_back(set.number);
  EXPECT_THAT(numbers, ElementsAre(3073, 3074, 3072));
  EXPECT_THAT(plan.nodes.at(0), HasSubstr(R"("driver":"vmdk")"));
  EXPECT_THAT(plan.nodes.at(0), Not(HasSubstr("direct")));
  const std::string text = read_file("/proc/self/fd/" + std::to_string(plan.descriptor.get()), 10000);
  EXPECT_EQ(text,
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
            "createType=\"twoGbMaxExtentFlat\"\n\n# Extent description\n"
            "RW 2048 FLAT \"/dev/fdset/3073\" 0\n"
            "RW 4194304 FLAT \"/dev/fdset/3074\" 0\n"
            "RW 5 FLAT \"/dev/fdset/3074\" 4194304\n"
            "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"
            "ddb.geometry.cylinders = \"4164\"\nddb.geometry.heads = \"16\"\n"
            "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n");
}

TEST(DiskPlan, ContradictionsAreRefused) {
  const std::vector<std::function<void(DiskSpec&)>> changes = {
      [](auto& d) { d.files = {}; }, [](auto& d) { d.path = "/x"; }, [](auto& d) { d.files = {1, 2}; },
      [](auto& d) { d.extents = {{.file = 0, .sectors = 1}}; },  // writable
  };
  for (const auto& change : changes) {
    DiskSpec disk = one_file();
    change(disk);
    EXPECT_THROW(plan_disk(disk, {}, PlugTime::kRunning), Error);
  }
}

TEST(DiskPlan, PortsAndControllers) {
  EXPECT_EQ(port_json({.id = "hp9", .slot = 28, .function = 1}, 10),
            R"({"driver":"pcie-root-port","id":"hp9","bus":"pcie.0","addr":"0x1c.1","multifunction":true,)"
            R"("chassis":10,"slot":10})");
  BlockSettings block;
  block.enable_iothreads = true;
  const ScsiControllerSpec controller{.id = "scsi0", .place = {.port = "hp1", .slot = 0}};
  EXPECT_THAT(controller_json(controller, block), Not(HasSubstr("iothread")));
  block.driver = "virtio-scsi";
  EXPECT_EQ(controller_json(controller, block),
            R"({"driver":"virtio-scsi-pci","id":"scsi0","bus":"hp1","addr":"0x0","disable-legacy":"on",)"
            R"("iothread":"scsi-io-thread"})");
}

}  // namespace
}  // namespace kata::vmm::qemu
