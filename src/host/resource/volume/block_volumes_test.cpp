#include "host/resource/volume/block_volumes.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::volume {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BlockVolumesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-block-volumes-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    std::string head(1 << 20, '\0');
    head.replace(1080, 2, "\x53\xEF");
    write_file(dir_ + "/ext4", head);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  device::ContainerDisks claim(const std::vector<oci::Mount>& mounts) {
    oci::Spec spec;
    spec.mounts = mounts;
    device::ContainerDisks disks;
    claim_block_volumes(spec, {}, manager_, disks);
    return disks;
  }
  oci::Mount mount(const std::string& type, const std::string& destination,
                   std::vector<std::string> options) const {
    oci::Mount result;
    result.type = type;
    result.source = dir_ + "/ext4";
    result.destination = destination;
    result.options = std::move(options);
    return result;
  }

  std::string dir_;
  asio::io_context context_;
  device::DiskManager manager_{context_.get_executor(), {}};
};

TEST_F(BlockVolumesTest, AnImageFileIsMountedInTheGuest) {
  oci::Mount proc;
  proc.type = "proc";
  const device::ContainerDisks disks = claim({proc, mount("bind", "/data", {"rbind", "loop"})});
  ASSERT_EQ(disks.storages.size(), 1U);
  EXPECT_EQ(disks.storages[0].storage.fstype, "ext4") << "what is on the disk";
  EXPECT_THAT(disks.storages[0].storage.options, IsEmpty());
  ASSERT_EQ(disks.mounts.size(), 1U);
  EXPECT_EQ(disks.mounts[0].index, 1U);
  EXPECT_EQ(disks.mounts[0].path, "/run/kata-containers/sandbox/storage/drive-0");
  EXPECT_FALSE(manager_.is_readonly("drive-0"));
}

TEST_F(BlockVolumesTest, ReadOnlyReachesTheDisk) {
  const device::ContainerDisks disks = claim({mount("bind", "/data", {"rbind", "ro", "loop"})});
  EXPECT_TRUE(manager_.is_readonly("drive-0"));
  EXPECT_THAT(disks.storages[0].storage.options, ElementsAre("ro"));
}

TEST_F(BlockVolumesTest, FileSystemMountsKeepTheirOptions) {
  const device::ContainerDisks disks = claim({mount("ext4", "/data", {"loop", "noatime", "rw"})});
  EXPECT_THAT(disks.storages[0].storage.options, ElementsAre("noatime"));
}

TEST_F(BlockVolumesTest, BelowDevTheContainerGetsTheDevice) {
  const device::ContainerDisks disks = claim({mount("bind", "/dev/data", {"rbind", "ro", "loop"})});
  EXPECT_EQ(disks.storages[0].storage.fstype, "bind");
  EXPECT_TRUE(manager_.is_readonly("drive-0"));
}

TEST_F(BlockVolumesTest, OthersAreNoDisks) {
  EXPECT_THAT(claim({mount("bind", "/data", {"rbind"}), mount("tmpfs", "/data", {"loop"})}).claimed,
              IsEmpty());
}

TEST_F(BlockVolumesTest, TheErrorNamesTheMount) {
  try {
    claim({mount("xfs", "/data", {"loop"})});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("mount /data: "));
    EXPECT_THAT(error.message(), HasSubstr("has no xfs file system but ext4"));
  }
}

// B5: the first exact rule decides.
TEST(NodeAccess, ByTheFirstExactRule) {
  using Rule = oci::DeviceCgroupRule;
  const auto rule = [](const char* type, std::optional<int64_t> major, std::optional<int64_t> minor,
                       const char* access, bool allow = true) {
    Rule result;
    result.allow = allow;
    result.type = type;
    result.major = major;
    result.minor = minor;
    result.access = access;
    return result;
  };
  struct Row {
    const char* name;
    std::vector<Rule> rules;
    NodeAccess expected;
  };
  const std::vector<Row> rows = {
      {"no rules", {}, NodeAccess::kReadWrite},
      {"exact rwm", {rule("b", 7, 3, "rwm")}, NodeAccess::kReadWrite},
      {"exact rm", {rule("b", 7, 3, "rm")}, NodeAccess::kReadOnly},
      {"exact r", {rule("b", 7, 3, "r")}, NodeAccess::kReadOnly},
      {"no access text", {rule("b", 7, 3, "")}, NodeAccess::kReadOnly},
      {"type a", {rule("a", 7, 3, "r")}, NodeAccess::kReadOnly},
      {"no type", {rule("", 7, 3, "r")}, NodeAccess::kReadOnly},
      {"deny is passed over", {rule("b", 7, 3, "r", false), rule("b", 7, 3, "rw")}, NodeAccess::kReadWrite},
      {"deny of everything", {rule("", {}, {}, "rwm", false)}, NodeAccess::kReadWrite},
      {"wildcard major", {rule("b", {}, 3, "r")}, NodeAccess::kReadWrite},
      {"wildcard minor", {rule("b", 7, {}, "r")}, NodeAccess::kReadWrite},
      {"another type", {rule("c", 7, 3, "r")}, NodeAccess::kReadWrite},
      {"another device", {rule("b", 7, 4, "r")}, NodeAccess::kReadWrite},
      {"the first one decides", {rule("b", 7, 3, "r"), rule("b", 7, 3, "rwm")}, NodeAccess::kReadOnly},
      {"privileged", {rule("", {}, {}, "rwm")}, NodeAccess::kUnmentioned},
      {"privileged with a volume", {rule("", {}, {}, "rwm"), rule("b", 7, 3, "rwm")}, NodeAccess::kReadWrite},
  };
  oci::Device node;
  node.type = "b";
  node.major = 7;
  node.minor = 3;
  for (const Row& row : rows) {
    oci::Spec spec;
    spec.linux_config.emplace().resources.emplace().devices = row.rules;
    EXPECT_EQ(node_access(spec, node), row.expected) << row.name;
  }
  EXPECT_EQ(node_access(oci::Spec{}, node), NodeAccess::kReadWrite);
}

TEST_F(BlockVolumesTest, AMissingDevice) {
  oci::Spec spec;
  oci::Device node;
  node.type = "b";
  node.path = "/dev/xvda";
  node.major = 4000;
  node.minor = 1;
  spec.linux_config.emplace().devices = {node};
  device::ContainerDisks disks;
  try {
    claim_block_volumes(spec, {}, manager_, disks);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr("device /dev/xvda: there is no block device 4000:1"));
  }
}

}  // namespace
}  // namespace kata::volume
