#include "guest/storage/layer_group.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/storage/verity.h"
#include "lib/error/error.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

Storage member(const std::string& fstype, std::vector<std::string> options,
               const std::string& source = "10") {
  Storage storage;
  storage.driver = "blk";
  storage.source = source;
  storage.fstype = fstype;
  storage.mount_point = "/run/kata-containers/x";
  options.emplace_back("X-kata.multi-layer=true");
  storage.options = std::move(options);
  return storage;
}
Storage upper() {
  return member("ext4", {"X-kata.overlay-upper", "rw"}, "11");
}
Storage lower(int partition) {
  return member("erofs", {"X-kata.overlay-lower", "X-kata.gpt-partitioned=true",
                          "X-kata.partition-number=" + std::to_string(partition)});
}

TEST(LayerGroup, MembersBecomeOneStorage) {
  Storage other;
  other.driver = "local";
  Storage last = lower(2);
  last.mount_point = "/run/kata-containers/other";
  Storage top = upper();
  top.mount_point = "/run/kata-containers/rootfs";
  const auto grouped = group_layers({other, last, top, other});
  ASSERT_EQ(grouped.size(), 3U);
  EXPECT_EQ(grouped[0].driver, "local");
  EXPECT_EQ(grouped[1].driver, "erofs.multi-layer");
  EXPECT_EQ(grouped[1].mount_point, "/run/kata-containers/rootfs") << "the writable member's";
  EXPECT_EQ(grouped[1].members.size(), 2U);
  EXPECT_EQ(group_layers({other}).size(), 1U);
}

TEST(LayerGroup, LowNumbersAreOnTop) {
  const LayerGroup group = parse_layers({upper(), lower(3), lower(1), lower(2)});
  ASSERT_EQ(group.lowers.size(), 3U);
  EXPECT_EQ(group.lowers[0].partition, 1U);
  EXPECT_EQ(group.lowers[2].partition, 3U);
  ASSERT_TRUE(group.upper);
  EXPECT_EQ(group.upper->source, "11");
}

TEST(LayerGroup, Folders) {
  Storage storage = lower(1);
  for (const char* path : {"{{ mount 0 }}/upper:0755", "{{mount 1}}/in/lower", "/plain"})
    storage.options.push_back(std::string("X-kata.mkdir.path=") + path);
  const auto folders = parse_layers({storage}).folders;
  ASSERT_EQ(folders.size(), 3U);
  EXPECT_EQ(folders[0].path, "upper");
  EXPECT_EQ(folders[1].path, "in/lower");
  EXPECT_EQ(folders[1].root, LayerGroup::Folder::Root::kLower);
  EXPECT_EQ(folders[2].path, "plain");
}

TEST(LayerGroup, VerityParameters) {
  const std::string hash(64, 'a');
  Storage storage = lower(1);
  for (const std::string& option :
       {std::string("X-kata.dmverity-enabled=true"), "X-kata.dmverity.roothash=" + hash,
        std::string("X-kata.dmverity.hashoffset=8192"), std::string("X-kata.dmverity.salt=beef")})
    storage.options.push_back(option);
  const auto verity = parse_layers({storage}).lowers.at(0).verity;
  ASSERT_TRUE(verity);
  EXPECT_EQ(verity_table("/dev/vda1", *verity),
            "1 /dev/vda1 /dev/vda1 4096 4096 2 3 sha256 " + hash + " beef");
  EXPECT_EQ(verity_name("/dev/vda1", "c1", *verity), "kata-verity-vda1-off8192-" + hash.substr(32) + "-c1");
  Verity bare = *verity;
  bare.has_super_block = false;
  bare.salt.clear();
  EXPECT_EQ(verity_table("/dev/vda1", bare), "1 /dev/vda1 /dev/vda1 4096 4096 2 2 sha256 " + hash + " -");
}

TEST(LayerGroup, BadMembersAreRefused) {
  struct Row {
    const char* name;
    std::function<void(std::vector<Storage>&)> change;
    const char* words;
  };
  const auto verity = [](std::vector<std::string> options) {
    return [options](std::vector<Storage>& all) {
      all[1].options.emplace_back("X-kata.dmverity-enabled=true");
      all[1].options.insert(all[1].options.end(), options.begin(), options.end());
    };
  };
  const std::string hash = "X-kata.dmverity.roothash=" + std::string(64, 'a');
  const std::vector<Row> rows = {
      {"two writable", [](auto& all) { all.push_back(upper()); }, "more than one is writable"},
      {"writable XFS", [](auto& all) { all[0].fstype = "xfs"; }, "must be ext4"},
      {"no lower", [](auto& all) { all.pop_back(); }, "none is X-kata.overlay-lower"},
      {"driver", [](auto& all) { all[1].driver = "mmioblk"; }, "driver mmioblk"},
      {"partition 0", [](auto& all) { all[1] = lower(0); }, "partition-number"},
      {"partition 257", [](auto& all) { all[1] = lower(257); }, "partition-number"},
      {"folder above", [](auto& all) { all[1].options.emplace_back("X-kata.mkdir.path={{ mount 0 }}/../x"); },
       "leads elsewhere"},
      {"folder of another mount",
       [](auto& all) { all[1].options.emplace_back("X-kata.mkdir.path={{ mount 7 }}/x"); }, "mount 7"},
      {"folder without end", [](auto& all) { all[1].options.emplace_back("X-kata.mkdir.path={{ mount 0"); },
       "no }}"},
      {"short hash", verity({"X-kata.dmverity.roothash=abcd", "X-kata.dmverity.hashoffset=8192"}),
       "64 hex digits"},
      {"no hash", verity({"X-kata.dmverity.hashoffset=8192"}), "64 hex digits"},
      {"no offset", verity({hash}), "hashoffset"},
      {"odd offset", verity({hash, "X-kata.dmverity.hashoffset=8191"}), "hashoffset"},
      {"block size", verity({hash, "X-kata.dmverity.hashoffset=8192", "X-kata.dmverity.blocksize=513"}),
       "power of two"},
      {"salt", verity({hash, "X-kata.dmverity.hashoffset=8192", "X-kata.dmverity.salt=xy"}), "salt"},
      {"verity of a whole disk",
       [&](auto& all) {
         all[1] = member("erofs", {"X-kata.overlay-lower", "X-kata.dmverity-enabled=true", hash,
                                   "X-kata.dmverity.hashoffset=8192"});
       },
       "needs layers in partitions"},
  };
  for (const Row& row : rows) {
    std::vector<Storage> members = {upper(), lower(1)};
    row.change(members);
    try {
      parse_layers(members);
      ADD_FAILURE() << row.name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << row.name;
      EXPECT_THAT(error.message(), HasSubstr(row.words)) << row.name;
    }
  }
}

}  // namespace
}  // namespace kata::storage
