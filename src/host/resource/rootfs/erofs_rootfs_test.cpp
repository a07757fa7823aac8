#include "host/resource/rootfs/erofs_rootfs.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rootfs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class LayersTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-layers-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // A file that looks like EROFS (or, with other magic bytes, not).
  std::string layer(const std::string& number, size_t size, const char* magic = "\xE2\xE1\xF5\xE0") const {
    const std::string path = dir_ + "/" + number + "/layer.erofs";
    std::filesystem::create_directories(dir_ + "/" + number);
    std::string bytes(size, '\0');
    if (size > 1028) bytes.replace(1024, 4, magic);
    write_file(path, bytes);
    return path;
  }
  MountRequest erofs(const std::string& path, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"ro", "loop"});
    return {.type = "erofs", .source = path, .target = {}, .options = more};
  }
  MountRequest writable() const {
    std::string bytes(1 << 20, '\0');
    bytes.replace(1080, 2, "\x53\xEF");
    write_file(dir_ + "/rwlayer.img", bytes);
    return {.type = "ext4", .source = dir_ + "/rwlayer.img", .target = {}, .options = {"rw", "loop"}};
  }
  static MountRequest overlay() {
    return {.type = "format/mkdir/overlay",
            .source = "overlay",
            .target = {},
            .options = {"X-containerd.mkdir.path={{ mount 0 }}/upper:0755",
                        "X-containerd.mkdir.path={{ mount 0 }}/work:0755", "lowerdir={{ overlay 1 3 }}"}};
  }
  device::ContainerDisks claim(const std::vector<MountRequest>& mounts) {
    device::ContainerDisks disks;
    claim_layered_rootfs(mounts, "c1", manager_, disks);
    return disks;
  }
  vmm::VmSpec plan() {
    vmm::VmSpec spec;
    manager_.plan_start(spec);
    return spec;
  }
  Error failure(const std::vector<MountRequest>& mounts) {
    try {
      claim(mounts);
    } catch (const Error& error) {
      return error;
    }
    return {Code::kOk, ""};
  }

  std::string dir_;
  asio::io_context context_;
  device::DiskManager manager_{context_.get_executor(), {}};
};

TEST_F(LayersTest, ManyLayersAreOneDisk) {
  const auto disks = claim(
      {writable(), erofs(layer("6", 4096)), erofs(layer("5", 1 << 20)), erofs(layer("4", 4097)), overlay()});
  EXPECT_EQ(disks.claimed.size(), 2U);
  ASSERT_EQ(disks.storages.size(), 4U);
  const auto& upper = disks.storages[0].storage;
  EXPECT_EQ(upper.fstype, "ext4");
  EXPECT_THAT(upper.options, ElementsAre("X-kata.overlay-upper", "X-kata.multi-layer=true", "rw"));
  EXPECT_THAT(disks.storages[1].storage.options,
              ElementsAre("X-kata.overlay-lower", "X-kata.multi-layer=true", "X-kata.gpt-partitioned=true",
                          "X-kata.partition-number=1", "X-kata.mkdir.path={{ mount 0 }}/upper:0755",
                          "X-kata.mkdir.path={{ mount 0 }}/work:0755"));
  EXPECT_THAT(disks.storages[3].storage.options,
              ElementsAre("X-kata.overlay-lower", "X-kata.multi-layer=true", "X-kata.gpt-partitioned=true",
                          "X-kata.partition-number=3"));
  for (const auto& entry : disks.storages) EXPECT_EQ(entry.storage.mount_point, disks.rootfs);
  const vmm::VmSpec spec = plan();
  ASSERT_EQ(spec.disks.size(), 2U);
  const vmm::DiskSpec& disk = spec.disks[1];
  EXPECT_TRUE(disk.readonly);
  EXPECT_TRUE(disk.own_sector_sizes);
  EXPECT_EQ(disk.files.size(), 5U);
  std::vector<std::string> pieces;
  for (const auto& extent : disk.extents)
    pieces.push_back(std::to_string(extent.file) + ":" + std::to_string(extent.sectors));
  EXPECT_THAT(pieces, ElementsAre("0:2048", "2:8", "1:2040", "3:2048", "4:9"));
}

TEST_F(LayersTest, OneLayerIsAPlainDisk) {
  const auto disks = claim({erofs(layer("6", 4096)), overlay()});
  ASSERT_EQ(disks.storages.size(), 1U);
  EXPECT_THAT(
      disks.storages[0].storage.options,
      ElementsAre("X-kata.overlay-lower", "X-kata.multi-layer=true", "ro",
                  "X-kata.mkdir.path={{ mount 0 }}/upper:0755", "X-kata.mkdir.path={{ mount 0 }}/work:0755"));
  EXPECT_TRUE(plan().disks.at(0).extents.empty());
}

TEST_F(LayersTest, MetadataWithItsData) {
  const auto disks =
      claim({erofs(layer("9", 4096), {"device=" + layer("1", 8192, "data"), "device=" + layer("2", 0),
                                      "device=" + layer("3", 512, "data"), "X-private=1"}),
             overlay()});
  EXPECT_THAT(disks.storages.at(0).storage.options, Not(Contains(HasSubstr("device="))));
  EXPECT_THAT(disks.storages.at(0).storage.options, Not(Contains(HasSubstr("gpt"))));
  EXPECT_THAT(disks.storages.at(0).storage.options, Not(Contains(HasSubstr("private"))));
  const vmm::VmSpec spec = plan();
  ASSERT_EQ(spec.disks.at(0).extents.size(), 3U) << "the empty part is passed over";
  EXPECT_EQ(spec.disks[0].extents[2].sectors, 1U);
}

TEST_F(LayersTest, LargeFilesAreManyPieces) {
  const auto extents = concatenate({uint64_t{3} << 30, 1});
  ASSERT_EQ(extents.size(), 3U);
  EXPECT_EQ(extents[0].sectors, 4194304U);
  EXPECT_EQ(extents[1].sectors, 2097152U);
  EXPECT_EQ(extents[1].offset, 4194304U);
  EXPECT_EQ(extents[2].file, 1U);
}

TEST_F(LayersTest, NamesMayHoldAnything) {
  EXPECT_EQ(claim({erofs(layer("a b\n\"c", 4096)), erofs(layer("d", 4096)), overlay()}).storages.size(), 2U);
}

TEST_F(LayersTest, BadLayersAreRefusedByName) {
  struct Row {
    const char* name;
    std::vector<MountRequest> mounts;
    Code code;
    std::string words;
  };
  const std::string good = layer("good", 4096), wrong = layer("wrong", 4096, "nope"),
                    empty = layer("empty", 0);
  const std::vector<MountRequest> many(129, erofs(good));
  const std::vector<Row> rows = {
      {"missing", {erofs(good), erofs(dir_ + "/none"), overlay()}, Code::kNotFound, dir_ + "/none"},
      {"folder", {erofs(good), erofs(dir_), overlay()}, Code::kInvalidArgument, "is a folder"},
      {"wrong magic",
       {erofs(good), erofs(wrong), overlay()},
       Code::kInvalidArgument,
       wrong + " has no erofs"},
      {"wrong magic alone", {erofs(wrong), overlay()}, Code::kInvalidArgument, wrong + " has no erofs"},
      {"all empty", {erofs(empty), erofs(empty), overlay()}, Code::kInvalidArgument, "no layer with content"},
      {"129 layers", many, Code::kInvalidArgument, "129 layers"},
      {"two writable",
       {writable(), writable(), erofs(good), overlay()},
       Code::kInvalidArgument,
       "more than one"},
      {"writable is no ext4",
       {{"ext4", wrong, "", {"loop"}}, erofs(good), overlay()},
       Code::kInvalidArgument,
       "has no ext4"},
      {"metadata is none",
       {erofs(wrong, {"device=" + good}), overlay()},
       Code::kInvalidArgument,
       "has no erofs"},
      {"data is missing", {erofs(good, {"device=/none"}), overlay()}, Code::kNotFound, "/none"},
  };
  for (const Row& row : rows) {
    const Error error = failure(row.mounts);
    EXPECT_EQ(error.code(), row.code) << row.name << ": " << error.message();
    EXPECT_THAT(error.message(), HasSubstr(row.words)) << row.name;
    EXPECT_THAT(error.message(), HasSubstr("container c1")) << row.name;
  }
}

TEST_F(LayersTest, AsManyAsAllowed) {
  std::vector<MountRequest> mounts = {writable()};
  for (int i = 0; i < 128; ++i) mounts.push_back(erofs(layer(std::to_string(i), 4096 + i)));
  mounts.push_back(overlay());
  const auto disks = claim(mounts);
  EXPECT_EQ(disks.storages.size(), 129U);
  EXPECT_EQ(plan().disks.at(1).files.size(), 130U);
}

}  // namespace
}  // namespace kata::rootfs
