// Growing real file systems on loop devices, mounted where only this test sees them.
#include "guest/rpc/volume_resize.h"

#include <cstdlib>
#include <filesystem>
#include <linux/capability.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::rpc {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class VolumeResize : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "no mount namespace can be made";
    kernel::set_propagation("/", MS_PRIVATE | MS_REC);
    std::string pattern = (std::filesystem::temp_directory_path() / "resize.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::filesystem::create_directory(folder_ + "/mnt");
  }
  void TearDown() override {
    if (folder_.empty()) return;
    ::umount2((folder_ + "/mnt").c_str(), MNT_DETACH);
    loop_.reset();
    std::filesystem::remove_all(folder_);
  }

  // False when the machine lacks what it takes.
  bool make(const std::string& fstype, uint64_t size) {
    const std::string image = folder_ + "/image";
    image_ = open_file(image, O_RDWR | O_CREAT, 0600);
    if (::ftruncate(image_.get(), static_cast<off_t>(size)) != 0) return false;
    const std::string quiet = " " + image + " >/dev/null 2>&1";
    const std::string force = fstype == "ext4" ? " -F" : " -f";
    if (std::system(("mkfs." + fstype + force + quiet).c_str()) != 0) return false;
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return false;
    const std::string node = "/dev/loop" + std::to_string(number);
    loop_ = UniqueFd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
    loop_config config{};
    config.fd = static_cast<uint32_t>(image_.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    return loop_ && ::ioctl(loop_.get(), LOOP_CONFIGURE, &config) == 0 &&
           ::mount(node.c_str(), path().c_str(), fstype.c_str(), 0, "") == 0;
  }
  void grow_disk(uint64_t size) {
    ASSERT_EQ(::ftruncate(image_.get(), static_cast<off_t>(size)), 0);
    ASSERT_EQ(::ioctl(loop_.get(), LOOP_SET_CAPACITY), 0);
  }
  [[nodiscard]] std::string path() const { return folder_ + "/mnt"; }
  [[nodiscard]] uint64_t bytes() const {
    struct statvfs figures{};
    ::statvfs(path().c_str(), &figures);
    return figures.f_blocks * figures.f_frsize;
  }

  std::string folder_;
  UniqueFd image_, loop_;
};

Code code_of(const std::string& path, uint64_t size) {
  try {
    grow_filesystem(path, size);
  } catch (const Error& error) {
    return error.code();
  }
  return Code::kOk;
}

TEST_P(VolumeResize, GrowsWithItsDisk) {
  const std::string fstype = GetParam();
  if (fstype == "ext4" && ::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) != 1)
    GTEST_SKIP() << "ext4 grows only for CAP_SYS_RESOURCE";
  const uint64_t small = fstype == "ext4" ? 32 * kMiB : 400 * kMiB;
  if (!make(fstype, small)) GTEST_SKIP() << "no " << fstype << " on a loop device here";
  const uint64_t before = bytes();
  EXPECT_EQ(code_of(path(), 2 * small), Code::kFailedPrecondition) << "the disk has not grown yet";
  EXPECT_EQ(code_of(path(), kMiB), Code::kOk) << "large enough already";
  EXPECT_EQ(bytes(), before);
  grow_disk(3 * small);
  EXPECT_EQ(code_of(path(), 2 * small), Code::kOk);
  const uint64_t between = bytes();
  EXPECT_GT(between, before + small / 2);
  EXPECT_LE(between, 2 * small);
  EXPECT_EQ(code_of(path(), 0), Code::kOk);
  EXPECT_GT(bytes(), between + small / 2);
}

INSTANTIATE_TEST_SUITE_P(Filesystems, VolumeResize, testing::Values("ext4", "xfs", "btrfs"));

TEST(VolumeResizeRoom, IsWaitedForWhereTheKernelTellsASize) {
  const std::string sysfs = testing::TempDir() + "room-" + std::to_string(::getpid());
  struct stat info{};
  ASSERT_EQ(::stat("/", &info), 0);
  const std::string folder =
      sysfs + "/dev/block/" + std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
  EXPECT_TRUE(room_lookup("/", kMiB, sysfs)()) << "no block device";
  EXPECT_TRUE(room_lookup("/nonexistent", kMiB, sysfs)()) << "told by whoever opens it";
  std::filesystem::create_directories(folder);
  write_file(folder + "/size", "2047\n");
  EXPECT_FALSE(room_lookup("/", kMiB, sysfs)());
  EXPECT_TRUE(room_lookup("/", 0, sysfs)()) << "all that there is";
  write_file(folder + "/size", "2048\n");
  EXPECT_TRUE(room_lookup("/", kMiB, sysfs)());
  std::filesystem::remove_all(sysfs);
}

TEST(VolumeResizeErrors, Named) {
  EXPECT_EQ(code_of("/proc", 0), Code::kUnimplemented);
  EXPECT_EQ(code_of("/nonexistent", 0), Code::kNotFound);
}

}  // namespace
}  // namespace kata::rpc
