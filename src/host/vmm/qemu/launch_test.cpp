#include "host/vmm/qemu/launch.h"

#include <filesystem>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vmm::qemu {
namespace {

using testing::HasSubstr;

class CheckSpecTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    for (const char* name : {"vmlinux", "initrd", "image", "qemu-not-executable"})
      write_file(folder_ + "/" + name, "x");
    spec_.id = "sb1";
    spec_.program = "/bin/true";
    spec_.machine_type = "q35";
    spec_.boot.kernel = folder_ + "/vmlinux";
    spec_.boot.initrd = folder_ + "/initrd";
    spec_.memory.mib = 256;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  struct Row {
    const char* name;
    std::function<void(VmSpec&)> change;
    Code code;
    std::string message;
  };
  void expect_rows(const std::vector<Row>& rows) const {
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      VmSpec spec = spec_;
      row.change(spec);
      Code code = Code::kOk;
      std::string message;
      try {
        check_spec(spec);
      } catch (const Error& error) {
        code = error.code();
        message = error.message();
      }
      EXPECT_EQ(code, row.code);
      EXPECT_THAT(message, HasSubstr(row.message));
    }
  }

  std::string folder_ = testing::TempDir() + "check-spec-" + std::to_string(::getpid());
  VmSpec spec_;
};

TEST_F(CheckSpecTest, NamesWhatIsWrongAndTheKeyToChange) {
  const std::vector<Row> rows = {
      {"good", [](VmSpec&) {}, Code::kOk, ""},
      {"no QEMU", [](VmSpec& s) { s.program = "/x/qemu"; }, Code::kNotFound,
       "QEMU /x/qemu not found (hypervisor.qemu.path)"},
      {"QEMU not executable", [this](VmSpec& s) { s.program = folder_ + "/qemu-not-executable"; },
       Code::kPermissionDenied, "is not executable (hypervisor.qemu.path)"},
      {"no kernel", [](VmSpec& s) { s.boot.kernel = "/x/vmlinux"; }, Code::kNotFound,
       "guest kernel /x/vmlinux not found (hypervisor.qemu.kernel)"},
      {"kernel is a folder", [this](VmSpec& s) { s.boot.kernel = folder_; }, Code::kInvalidArgument,
       "is not a file"},
      {"no initrd", [](VmSpec& s) { s.boot.initrd = "/x/initrd"; }, Code::kNotFound,
       "guest initrd /x/initrd not found (hypervisor.qemu.initrd)"},
      {"no firmware", [](VmSpec& s) { s.boot.firmware = "/x/rom"; }, Code::kNotFound,
       "(hypervisor.qemu.firmware)"},
      {"memory at the floor", [](VmSpec& s) { s.memory.mib = memory_floor_mib(1, 1); }, Code::kOk, ""},
      {"memory below the floor", [](VmSpec& s) { s.memory.mib = memory_floor_mib(1, 1) - 1; },
       Code::kFailedPrecondition, "raise hypervisor.qemu.default_memory"},
      {"no vCPU", [](VmSpec& s) { s.cpu.boot = 0; }, Code::kInvalidArgument, "no vCPU"},
      {"share without shared memory", [](VmSpec& s) { s.shares = {ShareSpec{.tag = "t", .socket = "/s"}}; },
       Code::kInvalidArgument, "shared guest memory"},
      {"vsock without shared memory",
       [](VmSpec& s) { s.vsock = VsockSpec{.kind = VsockSpec::Kind::kVhostUser, .cid = 3, .socket = "/s"}; },
       Code::kInvalidArgument, "shared guest memory"},
      {"vsock without device", [](VmSpec& s) { s.vsock = VsockSpec{}; }, Code::kInvalidArgument,
       "no open device"},
  };
  expect_rows(rows);
}

TEST_F(CheckSpecTest, GuestImage) {
  expect_rows({
      {"no image",
       [](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = "/x/image";
       },
       Code::kNotFound, "guest image /x/image not found (hypervisor.qemu.image)"},
      {"image",
       [this](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = folder_ + "/image";
       },
       Code::kOk, ""},
      {"image on a bus that is not there",
       [this](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = folder_ + "/image";
         s.boot.image_driver = "virtio-blk-ccw";
       },
       Code::kInvalidArgument, "by virtio-blk-ccw (hypervisor.qemu.vm_rootfs_driver): virtio-blk-pci and"},
      {"image of microvm",
       [this](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = folder_ + "/image";
         s.boot.image_driver = "virtio-pmem";
         s.machine_type = "microvm";
       },
       Code::kInvalidArgument, "virtio-blk-mmio it can"},
      {"image that cannot be mapped",
       [this](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = folder_ + "/image";
         s.boot.image_driver = "virtio-pmem";
       },
       Code::kInvalidArgument, "image has 1 bytes, and virtio-pmem maps multiples of 2 MiB"},
      {"both", [this](VmSpec& s) { s.boot.image = folder_ + "/image"; }, Code::kInvalidArgument,
       "exactly one of"},
      {"neither", [](VmSpec& s) { s.boot.initrd.clear(); }, Code::kInvalidArgument, "exactly one of"},
  });
}

TEST_F(CheckSpecTest, MachinesAreKnownByName) {
  for (const char* known : {"", "q35", "microvm", "pc-q35-7.2", "pc-i440fx-8.0"}) {
    spec_.machine_type = known;
    EXPECT_NO_THROW(check_spec(spec_)) << known;
  }
  spec_.machine_type = "pdp11";
  try {
    check_spec(spec_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_THAT(error.message(), HasSubstr("machine type pdp11 is not known"));
  }
}

TEST(KernelMemoryTest, CompressedKernelsTellTheirSize) {
  std::string bzimage(1024, '\0');
  bzimage.replace(0x202, 4, "HdrS");
  bzimage.replace(0x206, 2, "\x0f\x02");
  bzimage.replace(0x260, 4, std::string("\x00\x00\x00\x03", 4));
  struct Row {
    const char* name;
    std::string head;
    uint64_t file;
    uint64_t expected;
  };
  std::string old = bzimage;
  old[0x206] = 9;
  for (const Row& row : {Row{"bzImage", bzimage, 12000000, 0x3000000},
                         Row{"larger than it says", bzimage, 0x4000000, 0x4000000},
                         Row{"before 2.10", old, 12000000, 12000000},
                         Row{"ELF",
                             "\x7f"
                             "ELF",
                             57000000, 57000000},
                         Row{"empty", "", 0, 0}, Row{"cut off", bzimage.substr(0, 0x263), 5, 5}}) {
    EXPECT_EQ(kernel_memory_bytes(row.head, row.file), row.expected) << row.name;
  }
}

TEST_F(CheckSpecTest, QbootOnlyForAnEmulatedQ35) {
  std::filesystem::create_directories(folder_ + "/bin");
  std::filesystem::create_directories(folder_ + "/share/qemu");
  write_file(folder_ + "/share/qemu/qboot.rom", "x");
  const std::string system = folder_ + "/share/qemu";
  spec_.program = folder_ + "/qemu";
  EXPECT_EQ(default_firmware(spec_, Accelerator::kTcg, "/nonexistent"), "") << "nowhere";
  EXPECT_EQ(default_firmware(spec_, Accelerator::kTcg, system), system + "/qboot.rom");
  EXPECT_EQ(default_firmware(spec_, Accelerator::kKvm, system), "");
  spec_.machine_type = "microvm";
  EXPECT_EQ(default_firmware(spec_, Accelerator::kTcg, system), "");
  spec_.machine_type = "q35";
  spec_.program = folder_ + "/bin/qemu";
  EXPECT_EQ(default_firmware(spec_, Accelerator::kTcg, "/nonexistent"),
            folder_ + "/bin/../share/qemu/qboot.rom");
}

TEST(MemoryFloorTest, RoundsUp) {
  EXPECT_EQ(memory_floor_mib(0, 0), 16U);
  EXPECT_EQ(memory_floor_mib(1, 0), 17U);
  EXPECT_EQ(memory_floor_mib(uint64_t{55} << 20, uint64_t{2} << 20), 75U);
}

TEST_F(CheckSpecTest, FirstStageLiesBesideTheKernelAndIsOfImagesOnly) {
  const std::string path = folder_ + "/vmlinux.first-stage";
  EXPECT_EQ(first_stage(spec_), "");
  spec_.boot.initrd.clear();
  spec_.boot.image = folder_ + "/image";
  EXPECT_EQ(first_stage(spec_), "") << "a kernel that needs none";
  write_file(path, std::string(3 << 20, 'x'));
  EXPECT_EQ(first_stage(spec_), path);
  spec_.memory.mib = memory_floor_mib(1, 3 << 20) - 1;
  EXPECT_THROW(check_spec(spec_), Error) << "it counts like an initrd";
  spec_.memory.mib += 1;
  EXPECT_NO_THROW(check_spec(spec_));
  spec_.boot.image.clear();
  spec_.boot.initrd = folder_ + "/initrd";
  EXPECT_EQ(first_stage(spec_), "");
}

}  // namespace
}  // namespace kata::vmm::qemu
