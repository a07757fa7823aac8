#include "host/resource/rootfs/layer_verity.h"

#include <filesystem>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rootfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LayerVerityTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-verity-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // A layer of two blocks with hashes behind it.
  std::vector<std::string> options(const std::string& json,
                                   const std::string& hashes = std::string(512, 'h')) {
    write_file(dir_ + "/v.json", json);
    write_file(dir_ + "/layer", std::string(8192, 'd') + hashes);
    const UniqueFd layer = open_file(dir_ + "/layer", O_RDONLY);
    return verity_options(dir_ + "/v.json", layer.get());
  }

  std::string dir_;
  const std::string hash_ = std::string(64, 'a');
};

TEST_F(LayerVerityTest, GivenSaltOrNone) {
  EXPECT_THAT(options(R"({"roothash":")" + hash_ + R"(","hashoffset":8192,"salt":"beef"})"),
              ElementsAre("X-kata.dmverity-enabled=true", "X-kata.dmverity.roothash=" + hash_,
                          "X-kata.dmverity.hashoffset=8192", "X-kata.dmverity.no-superblock=true",
                          "X-kata.dmverity.salt=beef"));
  EXPECT_THAT(options(R"({"roothash":")" + hash_ + R"(","hashoffset":8192})").back(),
              "X-kata.dmverity.salt=" + std::string(64, '0'));
}

TEST_F(LayerVerityTest, SaltOfTheSuperBlock) {
  std::string block(512, '\0');
  block.replace(0, 6, "verity");
  block[8] = 1;
  block[80] = 2;
  block.replace(88, 2, "\x12\xEF");
  const auto found = options(R"({"roothash":")" + hash_ + R"(","hashoffset":8192})", block);
  EXPECT_EQ(found.at(3), "X-kata.dmverity.no-superblock=false");
  EXPECT_EQ(found.at(4), "X-kata.dmverity.salt=12ef");
}

TEST_F(LayerVerityTest, BadDescriptionsAreRefused) {
  struct Row {
    const char *name, *json, *words;
  };
  const std::string good = R"("roothash":")" + hash_ + "\"";
  const std::string no_offset = "{" + good + "}", zero = "{" + good + ",\"hashoffset\":0}",
                    unaligned = "{" + good + ",\"hashoffset\":8191}",
                    beyond = "{" + good + ",\"hashoffset\":40960}",
                    negative = "{" + good + ",\"hashoffset\":-4096}",
                    salt = "{" + good + ",\"hashoffset\":8192,\"salt\":\"xy\"}";
  for (const Row& row : {Row{"no JSON", "{", "no JSON object"}, Row{"a list", "[]", "no JSON object"},
                         Row{"no hash", R"({"hashoffset":8192})", "roothash is missing"},
                         Row{"short hash", R"({"roothash":"abcd","hashoffset":8192})", "64 hex digits"},
                         Row{"no offset", no_offset.c_str(), "hashoffset is missing"},
                         Row{"zero", zero.c_str(), "multiple of 4096"},
                         Row{"unaligned", unaligned.c_str(), "multiple of 4096"},
                         Row{"negative", negative.c_str(), "multiple of 4096"},
                         Row{"beyond", beyond.c_str(), "beyond the layer's end"},
                         Row{"salt", salt.c_str(), "salt must be hex"}}) {
    try {
      options(row.json);
      ADD_FAILURE() << row.name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << row.name;
      EXPECT_THAT(error.message(), HasSubstr(row.words)) << row.name;
      EXPECT_THAT(error.message(), HasSubstr("v.json")) << row.name;
    }
  }
}

}  // namespace
}  // namespace kata::rootfs
