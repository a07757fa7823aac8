#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "guest/device/block_device.h"
#include "guest/device/device.h"
#include "guest/device/pci_path.h"
#include "guest/device/uevent.h"
#include "lib/error/error.h"

namespace kata::device {
namespace {

namespace fs = std::filesystem;

std::string zeros(std::string text) {
  for (char& c : text) {
    if (c == '|') c = '\0';
  }
  return text;
}

TEST(Uevent, Parses) {
  const auto event =
      parse_uevent(zeros("add@/devices/x/block/vda|ACTION=add|DEVPATH=/devices/x/block/"
                         "vda|SUBSYSTEM=block|DEVNAME=vda|SEQNUM=7|"));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action, "add");
  EXPECT_EQ(event->devpath, "/devices/x/block/vda");
  EXPECT_EQ(event->subsystem, "block");
  EXPECT_EQ(event->devname, "vda");
}

TEST(Uevent, RefusesWhatIsNone) {
  for (const char* text :
       {"", "libudev|ACTION=add|DEVPATH=/x|", "add@/x", "add@/x|DEVPATH=/x|", "add@/x|ACTION=add|",
        "add@/x|ACTION=add|DEVPATH=/a/../b|", "add@/x|ACTION=add|DEVPATH=x|"}) {
    EXPECT_FALSE(parse_uevent(zeros(text))) << text;
  }
}

TEST(PciPath, Forms) {
  const auto plain = parse_pci_path("02/00");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->root_bus, 0);
  ASSERT_EQ(plain->slots.size(), 2U);
  EXPECT_EQ(plain->slots[0].slot, 2);
  const auto function = parse_pci_path("1f.7");
  ASSERT_TRUE(function);
  EXPECT_EQ(function->slots[0].slot, 31);
  EXPECT_EQ(function->slots[0].function, 7);
  const auto expander = parse_pci_path("20/01/00");
  ASSERT_TRUE(expander);
  EXPECT_EQ(expander->root_bus, 0x20);
  EXPECT_EQ(expander->slots.size(), 2U);
  for (const char* text :
       {"", "/", "02/", "20", "20/00", "02.8", "xx", "02/00/", "1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/10/11/12"})
    EXPECT_FALSE(parse_pci_path(text)) << text;
  EXPECT_TRUE(pci_path_of_slots({2, 0}));
  EXPECT_FALSE(pci_path_of_slots({}));
  EXPECT_FALSE(pci_path_of_slots({32}));
}

class Tree : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "device-test-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    tree_ = {.sysfs = root_ + "/sys", .dev = root_ + "/dev"};
  }
  void TearDown() override { fs::remove_all(root_); }
  void folder(const std::string& path) { fs::create_directories(root_ + path); }

  std::string root_;
  DeviceTree tree_;
};

TEST_F(Tree, FindsDisksByPciPath) {
  const Lookup lookup = block_lookup("blk", "02/00", tree_);
  EXPECT_FALSE(lookup());
  folder("/sys/devices/pci0000:00/0000:00:02.0/pci_bus/0000:01");
  EXPECT_FALSE(lookup());
  folder("/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/virtio3/block/vdb");
  EXPECT_EQ(lookup(), root_ + "/dev/vdb");
  folder("/sys/devices/pci0000:00/0000:00:03.0/virtio4/block/vdc");
  EXPECT_EQ(block_lookup("blk", "03", tree_)(), root_ + "/dev/vdc");
}

TEST_F(Tree, FindsScsiDisksAndScansOnce) {
  folder("/sys/class/scsi_host/host0");
  std::ofstream(root_ + "/sys/class/scsi_host/host0/scan") << "";
  const Lookup lookup = block_lookup("scsi", "0:12", tree_);
  EXPECT_FALSE(lookup());
  std::string scanned;
  std::getline(std::ifstream(root_ + "/sys/class/scsi_host/host0/scan"), scanned);
  EXPECT_EQ(scanned, "0 0 12");
  folder("/sys/class/scsi_device/0:0:0:12/device/block/sdm");
  folder("/sys/class/scsi_device/0:0:0:1/device/block/sdb");
  EXPECT_EQ(lookup(), root_ + "/dev/sdm");
}

TEST_F(Tree, RefusesAddressesThatAreNone) {
  struct Row {
    const char* driver;
    const char* address;
  };
  for (const Row& row :
       {Row{"blk", ""}, Row{"blk", "/dev/../etc"}, Row{"scsi", "1"}, Row{"scsi", "a:b"}, Row{"scsi", "1:-1"},
        Row{"mmioblk", "vda"}, Row{"nvdimm", ""}, Row{"blk-ccw", "../x"}, Row{"nvme", "1"}}) {
    try {
      (void)block_lookup(row.driver, row.address, tree_);
      if (std::string(row.address) != "/dev/../etc") ADD_FAILURE() << row.driver << " " << row.address;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << row.address;
    }
  }
}

TEST_F(Tree, ADeviceThatNeverComesIsADeadline) {
  asio::io_context io;
  UeventWatcher watcher(io.get_executor());
  std::optional<Code> code;
  asio::co_spawn(io,
                 wait_for_device(watcher, block_lookup("blk", "02/00", tree_), "blk device 02/00",
                                 std::chrono::milliseconds(20)),
                 [&](const std::exception_ptr& error, const std::string&) { code = to_error(error).code(); });
  io.run();
  EXPECT_EQ(code, Code::kDeadlineExceeded);
}

TEST_F(Tree, ANodeWithoutItsDiskIsNotThereYet) {
  folder("/dev");
  folder("/sys/devices/pci0000:00/0000:00:02.0/virtio3/block/vdb");
  // Numbers of no device.
  const std::string node = root_ + "/dev/vdb";
  if (::mknod(node.c_str(), S_IFBLK | 0600, makedev(4094, 1)) != 0)
    GTEST_SKIP() << "needs root to make nodes";
  const int fd = ::open(node.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 || errno != ENXIO) GTEST_SKIP() << "this file system opens no nodes";
  asio::io_context io;
  UeventWatcher watcher(io.get_executor());
  std::optional<Code> code;
  asio::co_spawn(io,
                 wait_for_device(watcher, block_lookup("blk", "02", tree_), "blk device 02",
                                 std::chrono::milliseconds(20)),
                 [&](const std::exception_ptr& error, const std::string&) { code = to_error(error).code(); });
  io.run();
  EXPECT_EQ(code, Code::kDeadlineExceeded);
}

TEST_F(Tree, RewritesNumbersOfSwappedDevices) {
  oci::Spec spec;
  spec.linux_config.emplace();
  auto& config = *spec.linux_config;
  config.devices = {
      {.path = "/dev/a", .type = "c", .major = 1, .minor = 5, .file_mode = {}, .uid = {}, .gid = {}},
      {.path = "/dev/b", .type = "c", .major = 1, .minor = 3, .file_mode = {}, .uid = {}, .gid = {}}};
  config.resources.emplace();
  config.resources->devices = {{.allow = true, .type = "c", .major = 1, .minor = 5, .access = "r"},
                               {.allow = true, .type = "c", .major = 1, .minor = 3, .access = "w"},
                               {.allow = false, .type = "a", .major = {}, .minor = {}, .access = "rwm"}};
  const NodeFinder finder = [](std::string, std::string address) -> Awaitable<std::string> {
    co_return address;
  };
  asio::io_context io;
  std::exception_ptr failure;
  // null is 1:3, zero is 1:5: each gets the other's numbers.
  std::vector<Device> devices = {
      {.id = "/dev/null", .type = "blk", .vm_path = "", .container_path = "/dev/a", .options = {}},
      {.id = "/dev/zero", .type = "blk", .vm_path = "", .container_path = "/dev/b", .options = {}}};
  asio::co_spawn(io, add_devices(devices, finder, spec),
                 [&](const std::exception_ptr& error, const PciMap&) { failure = error; });
  io.run();
  ASSERT_FALSE(failure);
  EXPECT_EQ(config.devices[0].minor, 3);
  EXPECT_EQ(config.devices[1].minor, 5);
  EXPECT_EQ(config.resources->devices[0].minor, 3);
  EXPECT_EQ(config.resources->devices[1].minor, 5);
  EXPECT_FALSE(config.resources->devices[2].minor);
  ASSERT_EQ(config.resources->devices.size(), 5U);
  EXPECT_EQ(config.resources->devices[3].access, "rwm");
}

TEST_F(Tree, RefusesDevicesThatDoNotFitTheSpec) {
  const Device good{
      .id = "/dev/null", .type = "blk", .vm_path = "", .container_path = "/dev/a", .options = {}};
  struct Row {
    const char* name;
    std::vector<Device> devices;
    const char* text;
  };
  Device no_type = good, no_id = good, no_path = good, elsewhere = good;
  no_type.type.clear();
  no_id.id.clear();
  no_path.container_path.clear();
  elsewhere.container_path = "/dev/z";
  for (const Row& row :
       {Row{"type", {no_type}, "type is empty"}, Row{"id", {no_id}, "id and vm_path"},
        Row{"path", {no_path}, "container_path is empty"}, Row{"elsewhere", {elsewhere}, "not in OCI"},
        Row{"twice", {good, good}, "used twice"}}) {
    oci::Spec spec;
    spec.linux_config.emplace();
    spec.linux_config->devices = {
        {.path = "/dev/a", .type = "c", .major = 1, .minor = 5, .file_mode = {}, .uid = {}, .gid = {}}};
    const NodeFinder finder = [](std::string, std::string address) -> Awaitable<std::string> {
      co_return address;
    };
    asio::io_context io;
    std::exception_ptr failure;
    asio::co_spawn(io, add_devices(row.devices, finder, spec),
                   [&](const std::exception_ptr& error, const PciMap&) { failure = error; });
    io.run();
    ASSERT_TRUE(failure) << row.name;
    EXPECT_EQ(to_error(failure).code(), Code::kInvalidArgument);
    EXPECT_NE(to_error(failure).message().find(row.text), std::string::npos) << to_error(failure).message();
  }
}

TEST(DeviceModes, FromTheGuestsNodeOrDefault) {
  oci::Spec spec;
  spec.linux_config.emplace();
  spec.linux_config->devices = {
      {.path = "/dev/null", .type = "c", .major = 1, .minor = 3, .file_mode = {}, .uid = {}, .gid = {}},
      {.path = "/dev/none-such", .type = "c", .major = 9, .minor = 9, .file_mode = {}, .uid = {}, .gid = {}},
      {.path = "/dev/null", .type = "c", .major = 1, .minor = 3, .file_mode = 0600, .uid = {}, .gid = {}}};
  complete_device_modes(spec);
  EXPECT_EQ(spec.linux_config->devices[0].file_mode, 0666U);
  EXPECT_EQ(spec.linux_config->devices[1].file_mode, 0666U);
  EXPECT_EQ(spec.linux_config->devices[2].file_mode, 0600U);
}

}  // namespace
}  // namespace kata::device
