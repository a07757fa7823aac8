#include "host/resource/file_copy/tree_watch.h"

#include <sys/stat.h>

#include <gmock/gmock.h>

#include "host/resource/file_copy/copy_test_folder.h"

namespace kata::file_copy {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class TreeWatchTest : public CopyTest {
 protected:
  TreeWatch watch_{context_.get_executor()};
};

TEST_F(TreeWatchTest, EachKindOfChangeIsTold) {
  file("file", "x");
  file("other", "x");
  EXPECT_EQ(watch_.set(1, {source_}), TreeWatch::Added::kNew);
  EXPECT_EQ(watch_.set(1, {source_}), TreeWatch::Added::kNothing);
  struct Row {
    const char* name;
    std::function<void()> change;
  };
  for (const Row& row :
       {Row{"content", [&] { file("file", "y"); }}, Row{"new file", [&] { file("new", "y"); }},
        Row{"mode", [&] { ::chmod((source_ + "/file").c_str(), 0600); }},
        Row{"rename", [&] { fs::rename(source_ + "/new", source_ + "/renamed"); }},
        Row{"link", [&] { fs::create_symlink("file", source_ + "/link"); }},
        Row{"folder", [&] { fs::create_directory(source_ + "/d"); }},
        Row{"moved in", [&] { fs::rename(base_ + "/outside", source_ + "/inside"); }},
        Row{"moved out", [&] { fs::rename(source_ + "/inside", base_ + "/outside"); }},
        Row{"removal", [&] { fs::remove(source_ + "/other"); }}}) {
    if (row.name == std::string("moved in")) write_file(base_ + "/outside", "x");
    row.change();
    EXPECT_THAT(run(watch_.changed()), ElementsAre(1U)) << row.name;
  }
}

TEST_F(TreeWatchTest, TreesInEachOther) {
  fs::create_directories(source_ + "/in");
  watch_.set(1, {source_, source_ + "/in"});
  watch_.set(2, {source_ + "/in"});
  EXPECT_EQ(watch_.watches(), 2U);
  file("in/file", "x");
  EXPECT_THAT(run(watch_.changed()), UnorderedElementsAre(1U, 2U));
  watch_.remove(1);
  EXPECT_EQ(watch_.watches(), 1U);
  file("in/file", "y");
  EXPECT_THAT(run(watch_.changed()), ElementsAre(2U));
  watch_.remove(2);
  watch_.remove(2);
  EXPECT_EQ(watch_.watches(), 0U);
}

TEST_F(TreeWatchTest, PathsComeAndGo) {
  fs::create_directories(source_ + "/old");
  watch_.set(1, {source_, source_ + "/old", source_ + "/missing"});
  EXPECT_EQ(watch_.watches(), 2U);
  fs::remove(source_ + "/old");
  EXPECT_THAT(run(watch_.changed()), ElementsAre(1U));
  fs::create_directories(source_ + "/new");
  EXPECT_EQ(watch_.set(1, {source_, source_ + "/new"}), TreeWatch::Added::kNew);
  EXPECT_EQ(watch_.watches(), 2U);
  EXPECT_EQ(watch_.set(1, {source_}), TreeWatch::Added::kNothing);
  EXPECT_EQ(watch_.watches(), 1U);
}

TEST_F(TreeWatchTest, AFileReplacedByAnother) {
  const std::string path = base_ + "/hosts";
  write_file(path, "x");
  watch_.set(1, {path});
  write_file_atomic(path, "y");
  EXPECT_THAT(run(watch_.changed()), ElementsAre(1U));
  EXPECT_EQ(watch_.set(1, {path}), TreeWatch::Added::kNew) << "another inode";
}

TEST_F(TreeWatchTest, ManyChangesAtOnceAreFew) {
  watch_.set(1, {source_});
  for (int i = 0; i < 500; ++i) file("file", std::to_string(i));
  EXPECT_THAT(run(watch_.changed()), ElementsAre(1U));
}

}  // namespace
}  // namespace kata::file_copy
