#include "host/resource/volume/guest_dirs.h"

#include <filesystem>
#include <sys/mount.h>

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata::volume {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class GuestDirsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "dirs-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  oci::Mount mount(const std::string& name, const char* type = "bind") {
    oci::Mount result;
    result.source = base_ + "/" + name;
    result.destination = "/v";
    result.type = type;
    result.options = {"rw"};
    std::filesystem::create_directories(result.source);
    return result;
  }

  std::string base_;
};

TEST_F(GuestDirsTest, OnDiskIsAFolderOfTheGuest) {
  oci::Spec spec;
  spec.mounts = {mount("kubernetes.io~configmap/map"), mount("kubernetes.io~empty-dir/cache"),
                 mount("kubernetes.io~empty-dir/done"), mount("kubernetes.io~empty-dir/proc", "proc")};
  ASSERT_TRUE(::geteuid() != 0 || ::chown(spec.mounts[1].source.c_str(), 0, 77) == 0);
  const GuestDirs dirs = guest_empty_dirs(spec, "sb1", {{.index = 2, .path = "/elsewhere"}});
  ASSERT_THAT(dirs.storages, SizeIs(1));
  ASSERT_THAT(dirs.mounts, SizeIs(1));
  EXPECT_EQ(dirs.mounts[0].index, 1U);
  EXPECT_EQ(dirs.mounts[0].path, dirs.storages[0].mount_point);
  EXPECT_EQ(dirs.storages[0].driver, "local");
  EXPECT_TRUE(dirs.storages[0].shared) << "containers of a pod come and go";
  EXPECT_EQ(dirs.storages[0].mount_point,
            "/run/kata-containers/shared/containers/passthrough/sb1/rootfs/local/cache");
  EXPECT_THAT(dirs.storages[0].options, Contains("mode=0777"));
  if (::geteuid() == 0) EXPECT_THAT(dirs.storages[0].options, Contains("fsgid=77"));
}

TEST_F(GuestDirsTest, InMemoryIsATmpfsOfItsSize) {
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs root to mount";
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr), 0);
  oci::Spec spec;
  spec.mounts = {mount("kubernetes.io~empty-dir/memory")};
  const std::string source = spec.mounts[0].source;
  ASSERT_EQ(::mount("tmpfs", source.c_str(), "tmpfs", 0, "size=1m"), 0);
  const GuestDirs dirs = guest_empty_dirs(spec, "sb1", {});
  ::umount2(source.c_str(), MNT_DETACH);
  ASSERT_THAT(dirs.storages, SizeIs(1));
  EXPECT_EQ(dirs.storages[0].driver, "ephemeral");
  EXPECT_EQ(dirs.storages[0].fstype, "tmpfs");
  EXPECT_EQ(dirs.storages[0].mount_point, "/run/kata-containers/sandbox/ephemeral/memory");
  EXPECT_THAT(dirs.storages[0].options, ElementsAre("mode=1777", "size=1048576"));
}

TEST_F(GuestDirsTest, OneThatIsGoneIsNamed) {
  oci::Spec spec;
  spec.mounts = {mount("kubernetes.io~empty-dir/gone")};
  std::filesystem::remove(spec.mounts[0].source);
  try {
    guest_empty_dirs(spec, "sb1", {});
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.message(), testing::HasSubstr(spec.mounts[0].source));
  }
  EXPECT_THAT(guest_empty_dirs(oci::Spec{}, "sb1", {}).storages, IsEmpty());
}

}  // namespace
}  // namespace kata::volume
