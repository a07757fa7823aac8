#include "guest/storage/mirror.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace fs = std::filesystem;

namespace kata::storage {
namespace {

class MirrorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "mirror.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"source", "target", "stage"}) fs::create_directory(folder_ + "/" + name);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Mirror mirror(MirrorLimits limits = {}) {
    return Mirror(folder_ + "/source", folder_ + "/target", folder_ + "/stage", limits);
  }
  [[nodiscard]] std::string source(const std::string& name) const { return folder_ + "/source/" + name; }
  [[nodiscard]] std::string target(const std::string& name) const { return folder_ + "/target/" + name; }
  [[nodiscard]] std::string content(const std::string& name) const { return read_file(target(name)); }
  // What kubelet does: a folder of a new name, then one rename of a link.
  void publish(const std::string& version, const std::string& value) {
    fs::create_directory(source(".." + version));
    std::ofstream(source(".." + version + "/key")) << value;
    fs::create_symlink(".." + version, source("..data_tmp"));
    fs::rename(source("..data_tmp"), source("..data"));
    if (!fs::is_symlink(source("key"))) fs::create_symlink("..data/key", source("key"));
  }

  std::string folder_;
};

TEST_F(MirrorTest, ConfigMapIsSwitchedAndCleanedUp) {
  Mirror copy = mirror();
  publish("1", "one");
  EXPECT_TRUE(copy.update());
  EXPECT_FALSE(copy.update());
  EXPECT_EQ(content("key"), "one");
  publish("2", "two");
  fs::remove_all(source("..1"));
  EXPECT_TRUE(copy.update());
  EXPECT_EQ(content("key"), "two");
  EXPECT_FALSE(fs::exists(target("..1")));
  EXPECT_EQ(fs::read_symlink(target("..data")), "..2");
  EXPECT_TRUE(fs::is_empty(folder_ + "/stage"));
}

TEST_F(MirrorTest, ChangeRenameDeleteAndKinds) {
  Mirror copy = mirror();
  std::ofstream(source("a")) << "1";
  fs::create_directories(source("d/e"));
  std::ofstream(source("d/e/f")) << "deep";
  ::chmod(source("a").c_str(), 0640);
  copy.update();
  struct stat info{};
  ASSERT_EQ(::stat(target("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(content("d/e/f"), "deep");
  std::ofstream(source("a")) << "22";
  fs::rename(source("d/e/f"), source("d/g"));
  copy.update();
  EXPECT_EQ(content("a"), "22");
  EXPECT_EQ(content("d/g"), "deep");
  EXPECT_FALSE(fs::exists(target("d/e/f")));
  fs::remove_all(source("d"));
  std::ofstream(source("d")) << "now a file";
  fs::remove(source("a"));
  fs::create_directory(source("a"));
  copy.update();
  EXPECT_EQ(content("d"), "now a file");
  EXPECT_TRUE(fs::is_directory(target("a")));
}

TEST_F(MirrorTest, LinksOfTheTargetLeadNowhere) {
  Mirror copy = mirror();
  fs::create_directories(source("d"));
  std::ofstream(source("d/x")) << "1";
  copy.update();
  fs::create_directory(folder_ + "/outside");
  fs::remove_all(target("d"));
  fs::create_symlink(folder_ + "/outside", target("d"));
  std::ofstream(source("d/y")) << "2";
  EXPECT_THROW(copy.update(), Error);
  EXPECT_TRUE(fs::is_empty(folder_ + "/outside"));
}

TEST_F(MirrorTest, LimitsAreRefused) {
  const auto code = [&](MirrorLimits limits) {
    try {
      mirror(limits).update();
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kOk;
  };
  for (int i = 0; i < 3; ++i) std::ofstream(source(std::to_string(i))) << "12345";
  EXPECT_EQ(code({.files = 2, .bytes = 100}), Code::kResourceExhausted);
  EXPECT_EQ(code({.files = 3, .bytes = 14}), Code::kResourceExhausted);
  EXPECT_EQ(code({.files = 3, .bytes = 15}), Code::kOk);
  std::string deep = "deep";
  for (int i = 0; i < 12; ++i) deep += "/d";
  fs::create_directories(source(deep));
  EXPECT_EQ(code({}), Code::kResourceExhausted);
}

}  // namespace
}  // namespace kata::storage
