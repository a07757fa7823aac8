#include "host/resource/rootfs/block_rootfs.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rootfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BlockRootfsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-block-rootfs-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    std::string head(1 << 20, '\0');
    head.replace(1080, 2, "\x53\xEF");
    write_file(dir_ + "/ext4", head);
    head.replace(0, 4, "XFSB");
    write_file(dir_ + "/xfs", head);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  MountRequest image(const std::string& type, std::vector<std::string> options) const {
    return {.type = type, .source = dir_ + "/" + type, .target = {}, .options = std::move(options)};
  }
  device::ContainerDisks claim(const MountRequest& mount, RootAccess root = RootAccess::kReadWrite) {
    device::ContainerDisks disks;
    claim_block_rootfs(mount, "c1", root, manager_, disks);
    return disks;
  }

  std::string dir_;
  asio::io_context context_;
  device::DiskManager manager_{context_.get_executor(), {}};
};

TEST_F(BlockRootfsTest, KindsBySnapshottersMounts) {
  const MountRequest layer{.type = "EROFS", .source = "/l", .target = {}, .options = {"ro", "loop"}};
  const MountRequest overlay{
      .type = "format/mkdir/overlay", .source = "overlay", .target = {}, .options = {}};
  struct Row {
    const char* name;
    std::vector<MountRequest> mounts;
    Kind kind;
  };
  const std::vector<Row> rows = {
      {"none", {}, Kind::kFolder},
      {"overlay", {{"overlay", "overlay", "", {"lowerdir=/a"}}}, Kind::kFolder},
      {"image file", {image("ext4", {"rw", "loop"})}, Kind::kBlock},
      {"image file without loop", {image("ext4", {"rw"})}, Kind::kFolder},
      {"a folder with loop", {{"bind", dir_, "", {"loop"}}}, Kind::kFolder},
      {"missing file", {{"ext4", dir_ + "/none", "", {"loop"}}}, Kind::kFolder},
      {"one layer alone", {layer}, Kind::kFolder},
      {"layers and overlay", {layer, overlay}, Kind::kLayers},
      {"layers and plain overlay", {layer, layer, {"Overlay", "overlay", "", {}}}, Kind::kLayers},
      {"two overlays", {overlay, overlay}, Kind::kFolder},
  };
  for (const Row& row : rows) EXPECT_EQ(classify(row.mounts), row.kind) << row.name;
}

TEST_F(BlockRootfsTest, TheGuestMountsIt) {
  const device::ContainerDisks disks = claim(image("ext4", {"loop", "rw", "noatime"}));
  EXPECT_THAT(disks.claimed, ElementsAre("drive-0"));
  ASSERT_EQ(disks.storages.size(), 1U);
  EXPECT_EQ(disks.storages[0].storage.fstype, "ext4");
  EXPECT_THAT(disks.storages[0].storage.options, ElementsAre("rw", "noatime"));
  EXPECT_EQ(disks.storages[0].storage.mount_point, "/run/kata-containers/sandbox/storage/rootfs-c1");
  EXPECT_EQ(disks.rootfs, disks.storages[0].storage.mount_point);
  EXPECT_FALSE(manager_.is_readonly("drive-0"));
}

TEST_F(BlockRootfsTest, ReadOnlyDiskBelowAWritableRoot) {
  const device::ContainerDisks disks = claim(image("ext4", {"loop", "ro"}));
  ASSERT_EQ(disks.storages.size(), 2U);
  const agent::Storage &disk = disks.storages[0].storage, &overlay = disks.storages[1].storage;
  EXPECT_EQ(disk.mount_point, "/run/kata-containers/sandbox/storage/rootfs-c1-disk");
  EXPECT_THAT(disk.options, ElementsAre("ro"));
  EXPECT_EQ(disks.storages[1].disk, "");
  EXPECT_EQ(overlay.driver, "overlayfs");
  EXPECT_THAT(overlay.options,
              ElementsAre("lowerdir=" + disk.mount_point, "io.katacontainers.fs-opt.overlay-rw"));
  EXPECT_EQ(overlay.mount_point, disks.rootfs);
  EXPECT_EQ(disks.rootfs, "/run/kata-containers/sandbox/storage/rootfs-c1");
}

TEST_F(BlockRootfsTest, ReadOnlyRootNeedsNoOverlay) {
  const device::ContainerDisks disks = claim(image("ext4", {"loop", "ro"}), RootAccess::kReadOnly);
  ASSERT_EQ(disks.storages.size(), 1U);
  EXPECT_EQ(disks.storages[0].storage.mount_point, disks.rootfs);
  EXPECT_THAT(claim(image("xfs", {"loop"}), RootAccess::kReadOnly).storages, testing::SizeIs(1))
      << "the disk is as it was handed over";
}

TEST_F(BlockRootfsTest, XfsSnapshotsHaveOneUuid) {
  EXPECT_THAT(claim(image("xfs", {"loop"})).storages[0].storage.options, ElementsAre("nouuid"));
}

TEST_F(BlockRootfsTest, TheErrorNamesContainerAndDisk) {
  write_file(dir_ + "/ext4", std::string(4096, 'x'));
  try {
    claim(image("ext4", {"loop"}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("container c1"));
    EXPECT_THAT(error.message(), HasSubstr(dir_ + "/ext4"));
  }
  EXPECT_EQ(manager_.size(), 0U);
}

}  // namespace
}  // namespace kata::rootfs
