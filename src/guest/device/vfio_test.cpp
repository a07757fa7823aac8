#include "guest/device/vfio.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::device {
namespace {

namespace fs = std::filesystem;

Device function_of(const std::string& type, std::vector<std::string> options) {
  return {.id = "d1",
          .type = type,
          .vm_path = "",
          .container_path = "/dev/vfio/12",
          .options = std::move(options)};
}

TEST(VfioOptions, Forms) {
  const auto options =
      vfio_options(function_of("vfio-pci", {"0000:3B:00.0=02/00", "3b:00.1=02/01", "0000:3b:00.2="}));
  ASSERT_EQ(options.size(), 2U);
  EXPECT_EQ(options[0].host, "0000:3b:00.0");
  EXPECT_EQ(options[0].guest_path, "02/00");
  EXPECT_EQ(options[1].host, "0000:3b:00.1");
}

TEST(VfioOptions, Refused) {
  for (const char* option : {"", "0000:3b:00.0", "=02/00", "0000:3b:00.8=02/00", "0000:3b:00.0=../..",
                             "zzzz:3b:00.0=02/00", "0000:3b:00.0=77/00", "00003b:00.0=02/00"}) {
    try {
      vfio_options(function_of("vfio-pci", {option}));
      ADD_FAILURE() << option;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << option;
    }
  }
}

TEST(ApQueues, FormsAndRefusals) {
  EXPECT_EQ(ap_queues(function_of("vfio-ap", {"0A.0003", "ff.00ff"})),
            (std::vector<std::string>{"0a.0003", "ff.00ff"}));
  for (const char* queue : {"", "0a", "0a.003", "0a:0003", "0a.000g", "../0003"})
    EXPECT_THROW(ap_queues(function_of("vfio-ap", {queue})), Error) << queue;
}

TEST(PciEnvironment, HostsAddressesBecomeTheGuests) {
  // 3b:00.0 of the host is another function than 3b:00.0 of the guest: no address is replaced twice.
  const PciMap map = {{"0000:3b:00.0", "0000:01:00.0"}, {"0000:01:00.0", "0000:3b:00.0"}};
  std::vector<std::string> env = {
      "PCIDEVICE_INTEL_COM_NIC=0000:3b:00.0,0000:01:00.0",
      "PCIDEVICE_INTEL_COM_NIC_INFO={\"0000:3b:00.0\":{\"generic\":{\"deviceID\":\"0000:3b:00.0\"}}}",
      "OTHER=0000:3b:00.0", "PCIDEVICE_WITHOUT_VALUE"};
  rewrite_pci_environment(env, map);
  EXPECT_EQ(env[0], "PCIDEVICE_INTEL_COM_NIC=0000:01:00.0,0000:3b:00.0");
  EXPECT_EQ(env[1],
            "PCIDEVICE_INTEL_COM_NIC_INFO={\"0000:01:00.0\":{\"generic\":{\"deviceID\":\"0000:01:00.0\"}}}");
  EXPECT_EQ(env[2], "OTHER=0000:3b:00.0");
  EXPECT_EQ(env[3], "PCIDEVICE_WITHOUT_VALUE");
}

TEST(PciEnvironment, UnknownAddresses) {
  std::vector<std::string> env = {"PCIDEVICE_A=0000:00:01.0"};
  rewrite_pci_environment(env, {});
  EXPECT_EQ(env[0], "PCIDEVICE_A=0000:00:01.0");
  try {
    rewrite_pci_environment(env, {{"0000:3b:00.0", "0000:01:00.0"}});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_NE(error.message().find("PCIDEVICE_A"), std::string::npos);
    EXPECT_NE(error.message().find("0000:00:01.0"), std::string::npos);
  }
}

// A copy of the parts of /sys and /dev that matter.
class VfioTree : public testing::Test {
 protected:
  VfioTree() {
    EXPECT_NE(::mkdtemp(root_.data()), nullptr);
    tree_ = {.sysfs = root_ + "/sys", .dev = root_ + "/dev"};
    fs::create_directories(tree_.dev + "/vfio");
    fs::create_directories(tree_.sysfs + "/bus/pci/drivers/vfio-pci");
    fs::create_directories(tree_.sysfs + "/bus/pci/drivers/virtio-pci");
    put(tree_.sysfs + "/bus/pci/drivers_probe", "");
  }
  ~VfioTree() override { fs::remove_all(root_); }

  static void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  // A function in slot `slot` behind the root port in slot 2.
  std::string function(int slot, const char* driver, const char* group) {
    const std::string port = tree_.sysfs + "/devices/pci0000:00/0000:00:02.0";
    const std::string folder = port + "/0000:01:0" + std::to_string(slot) + ".0";
    fs::create_directories(port + "/pci_bus/0000:01");
    fs::create_directories(folder);
    put(folder + "/driver_override", "");
    put(tree_.sysfs + "/bus/pci/drivers/" + driver + "/unbind", "");
    fs::create_directory_symlink(tree_.sysfs + "/bus/pci/drivers/" + driver, folder + "/driver");
    fs::create_directory_symlink("../../../kernel/iommu_groups/" + std::string(group),
                                 folder + "/iommu_group");
    put(tree_.dev + "/vfio/" + group, "");
    return folder;
  }
  static std::string text(const std::string& path) { return read_file(path, 100); }

  NodeFinder finder() {
    return [this](std::string what, std::string address) -> Awaitable<std::string> {
      const auto lookup = passthrough_lookup(what, address, tree_);
      const auto found = lookup ? (*lookup)() : std::nullopt;
      if (!found) throw Error(Code::kDeadlineExceeded, what + " " + address);
      co_return *found;
    };
  }
  // The code of the outcome.
  Code add(const std::vector<Device>& devices, oci::Spec& spec) {
    asio::io_context io;
    Code code = Code::kUnknown;
    asio::co_spawn(io, add_devices(devices, finder(), spec),
                   [&](const std::exception_ptr& failure, PciMap map) {
                     code = failure ? to_error(failure).code() : Code::kOk;
                     map_ = std::move(map);
                   });
    io.run();
    return code;
  }
  static oci::Spec spec_with(const std::string& path) {
    oci::Spec spec;
    spec.linux_config.emplace();
    spec.linux_config->devices = {
        {.path = path, .type = "c", .major = 240, .minor = 7, .file_mode = {}, .uid = {}, .gid = {}}};
    return spec;
  }

  std::string root_ = "/tmp/vfio.XXXXXX";
  DeviceTree tree_;
  PciMap map_;
};

TEST_F(VfioTree, AFunctionIsHandedOver) {
  const std::string folder = function(0, "virtio-pci", "5");
  bind_to_vfio(folder, tree_);
  EXPECT_EQ(text(folder + "/driver_override"), "vfio-pci");
  EXPECT_EQ(text(folder + "/driver/unbind"), "0000:01:00.0");
  EXPECT_EQ(text(tree_.sysfs + "/bus/pci/drivers_probe"), "0000:01:00.0");
}

TEST_F(VfioTree, AFunctionThatIsThereAlreadyIsLeft) {
  const std::string folder = function(0, "vfio-pci", "5");
  bind_to_vfio(folder, tree_);
  EXPECT_EQ(text(folder + "/driver_override"), "");
}

TEST_F(VfioTree, TheContainerGetsTheGuestsGroup) {
  function(0, "vfio-pci", "5");
  function(1, "vfio-pci", "5");
  oci::Spec spec = spec_with("/dev/vfio/12");
  ASSERT_EQ(add({function_of("vfio-pci", {"0000:3b:00.0=02/00", "0000:3b:00.1=02/01"})}, spec), Code::kOk);
  EXPECT_EQ(spec.linux_config->devices[0].path, tree_.dev + "/vfio/5");
  EXPECT_EQ(map_, (PciMap{{"0000:3b:00.0", "0000:01:00.0"}, {"0000:3b:00.1", "0000:01:01.0"}}));
  ASSERT_TRUE(spec.linux_config->resources);
  EXPECT_TRUE(spec.linux_config->resources->devices.back().allow);
}

TEST_F(VfioTree, WithTheGuestsDriverOnlyTheAddressesAreTold) {
  const std::string folder = function(0, "virtio-pci", "5");
  oci::Spec spec = spec_with("/dev/other");
  Device device = function_of("vfio-pci-gk", {"0000:3b:00.0=02/00"});
  device.container_path.clear();
  ASSERT_EQ(add({device, device}, spec), Code::kOk);
  EXPECT_EQ(map_, (PciMap{{"0000:3b:00.0", "0000:01:00.0"}}));
  EXPECT_EQ(spec.linux_config->devices.size(), 1U);
  EXPECT_EQ(text(folder + "/driver_override"), "");
}

TEST_F(VfioTree, Refused) {
  function(0, "vfio-pci", "5");
  function(1, "vfio-pci", "6");
  const struct {
    const char* name;
    std::vector<std::string> options;
    Code code;
  } rows[] = {
      {"several groups", {"0000:3b:00.0=02/00", "0000:3b:00.1=02/01"}, Code::kInvalidArgument},
      {"no function", {"0000:3b:00.0="}, Code::kInvalidArgument},
      {"never comes", {"0000:3b:00.0=03/00"}, Code::kDeadlineExceeded},
  };
  for (const auto& row : rows) {
    oci::Spec spec = spec_with("/dev/vfio/12");
    EXPECT_EQ(add({function_of("vfio-pci", row.options)}, spec), row.code) << row.name;
  }
}

TEST_F(VfioTree, CryptoQueues) {
  fs::create_directories(tree_.sysfs + "/devices/ap/card0a/0a.0003");
  put(tree_.dev + "/z90crypt", "");
  for (const char* type : {"vfio-ap", "vfio-ap-cold"}) {
    oci::Spec spec = spec_with("/dev/vfio/12");
    ASSERT_EQ(add({function_of(type, {"0A.0003"})}, spec), Code::kOk) << type;
    EXPECT_EQ(spec.linux_config->devices[0].path, tree_.dev + "/z90crypt");
    EXPECT_EQ(add({function_of(type, {"0a.0004"})}, spec), Code::kInvalidArgument) << "the path is taken";
    oci::Spec other = spec_with("/dev/vfio/12");
    EXPECT_EQ(add({function_of(type, {"0a.0004"})}, other), Code::kDeadlineExceeded) << type;
  }
}

TEST_F(VfioTree, RdmaNodes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for device nodes";
  fs::create_directories(tree_.dev + "/infiniband");
  if (::mknod((tree_.dev + "/infiniband/uverbs0").c_str(), S_IFCHR | 0660, makedev(231, 192)) != 0)
    GTEST_SKIP() << "device nodes cannot be made here";
  put(tree_.dev + "/infiniband/file", "");
  oci::Spec spec = spec_with("/dev/x");
  add_infiniband_nodes(*spec.linux_config, tree_);
  add_infiniband_nodes(*spec.linux_config, tree_);
  ASSERT_EQ(spec.linux_config->devices.size(), 2U);
  EXPECT_EQ(spec.linux_config->devices[1].path, "/dev/infiniband/uverbs0");
  EXPECT_EQ(spec.linux_config->devices[1].minor, 192);
  EXPECT_EQ(spec.linux_config->resources->devices.size(), 1U);
}

}  // namespace
}  // namespace kata::device
