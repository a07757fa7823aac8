#include "host/resource/file_copy/snapshot.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/resource/file_copy/copy_test_folder.h"

namespace kata::file_copy {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class SnapshotTest : public CopyTest {
 protected:
  static std::vector<std::string> names(const Snapshot& seen) {
    std::vector<std::string> result;
    for (const auto& [path, entry] : seen.entries) result.push_back(path);
    return result;
  }
};

TEST_F(SnapshotTest, KindsOfThings) {
  fs::create_directories(source_ + "/a/b");
  file("a/b/file", "12345");
  fs::create_symlink("/etc/passwd", source_ + "/a/absolute");
  fs::create_symlink("nowhere", source_ + "/dangling");
  ASSERT_EQ(::mkfifo((source_ + "/pipe").c_str(), 0600), 0);
  const Snapshot seen = take_snapshot(source_, {});
  EXPECT_THAT(names(seen), ElementsAre("", "a", "a/absolute", "a/b", "a/b/file", "dangling"));
  EXPECT_EQ(seen.entries.at("a/b/file").size, 5U);
  EXPECT_EQ(seen.entries.at("a/absolute").link, "/etc/passwd");
  EXPECT_THAT(seen.folders, UnorderedElementsAre("", "a", "a/b"));
  EXPECT_THAT(seen.special, ElementsAre("pipe"));
}

TEST_F(SnapshotTest, TheSourceItself) {
  file("file", "x");
  fs::create_symlink(source_ + "/file", base_ + "/to-file");
  fs::create_symlink(source_, base_ + "/to-folder");
  ASSERT_EQ(::mkfifo((base_ + "/pipe").c_str(), 0600), 0);
  EXPECT_TRUE(S_ISREG(take_snapshot(base_ + "/to-file", {}).entries.at("").mode))
      << "a link is followed here";
  EXPECT_THAT(names(take_snapshot(base_ + "/to-folder", {})), ElementsAre("", "file"));
  const Snapshot pipe = take_snapshot(base_ + "/pipe", {});
  EXPECT_TRUE(pipe.entries.empty());
  EXPECT_THAT(pipe.special, ElementsAre(""));
  EXPECT_EQ(error_of([&] { take_snapshot(base_ + "/missing", {}); }).code(), Code::kNotFound);
}

TEST_F(SnapshotTest, ChangesShow) {
  file("file", "x");
  const Snapshot before = take_snapshot(source_, {});
  EXPECT_EQ(take_snapshot(source_, {}).entries, before.entries);
  ::chmod((source_ + "/file").c_str(), 0600);
  const Snapshot after = take_snapshot(source_, {});
  EXPECT_NE(after.entries.at("file"), before.entries.at("file"));
  EXPECT_EQ(after.entries.at(""), before.entries.at("")) << "a folder is no other because of what is in it";
}

TEST_F(SnapshotTest, Limits) {
  file("a", std::string(1000, 'x'));
  file("b", std::string(24, 'x'));
  // The folder itself counts.
  struct Row {
    const char* name;
    CopyLimits limits;
    const char* words;
  };
  for (const Row& row : {Row{"all that is allowed", {.entries = 3, .bytes = 1024}, ""},
                         Row{"one too many", {.entries = 2, .bytes = 1024}, "more than 2 files and folders"},
                         Row{"a byte too many", {.entries = 3, .bytes = 1023}, "files of more than 0 MiB"},
                         Row{"nothing", {.entries = 0, .bytes = 0}, "more than 0 files"}}) {
    const Error error = error_of([&] { take_snapshot(source_, row.limits); });
    if (*row.words == '\0') {
      EXPECT_EQ(error.code(), Code::kOk) << row.name << ": " << error.message();
      continue;
    }
    EXPECT_EQ(error.code(), Code::kResourceExhausted) << row.name;
    EXPECT_THAT(error.message(), HasSubstr(source_ + " has " + row.words)) << row.name;
    EXPECT_THAT(error.message(), HasSubstr("virtio-fs")) << row.name;
  }
}

TEST_F(SnapshotTest, DepthAndSparseSizes) {
  std::string path = source_;
  for (int i = 0; i < 100; ++i) path += "/d";
  fs::create_directories(path);
  EXPECT_EQ(take_snapshot(source_, {}).entries.size(), 101U);
  fs::create_directories(path + "/d");
  EXPECT_THAT(error_of([&] { take_snapshot(source_, {}); }).message(),
              HasSubstr("more than 100 folders in each other"));
  const std::string large = base_ + "/large";
  write_file(large, "");
  ASSERT_EQ(::truncate(large.c_str(), int64_t{1} << 40), 0);
  EXPECT_THAT(error_of([&] { take_snapshot(large, {}); }).message(), HasSubstr("files of more than 128 MiB"));
}

}  // namespace
}  // namespace kata::file_copy
