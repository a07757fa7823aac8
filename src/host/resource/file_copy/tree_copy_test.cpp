#include "host/resource/file_copy/tree_copy.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/resource/file_copy/copy_test_folder.h"
#include "host/resource/file_copy/fake_guest_files.h"

namespace kata::file_copy {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TreeCopyTest : public CopyTest {
 protected:
  TreeCopy::Outcome update(TreeCopy& copy) { return run(copy.update(take_snapshot(copy.source(), {}))); }
  // Files older than a tick of the clock, so that nothing is doubted.
  void age() const {
    for (const auto& entry : fs::recursive_directory_iterator(base_)) {
      if (entry.is_regular_file() && !entry.is_symlink())
        fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
    }
  }

  FakeGuestFiles guest_;
};

TEST_F(TreeCopyTest, EverythingArrives) {
  fs::create_directories(source_ + "/a/b");
  file("a/b/file", "text");
  file("empty", "");
  fs::create_symlink("a/b/file", source_ + "/link");
  ::chmod((source_ + "/a").c_str(), 0710);
  TreeCopy copy(source_, "/g/t", guest_);
  EXPECT_EQ(update(copy), TreeCopy::Outcome::kSettled);
  EXPECT_EQ(guest_.at("/g/t/a/b/file"), "text");
  EXPECT_EQ(guest_.at("/g/t/empty"), "");
  EXPECT_EQ(guest_.at("/g/t/link"), "a/b/file");
  EXPECT_EQ(guest_.things.at("/g/t/a").mode & 07777, 0710U);
  EXPECT_EQ(guest_.things.size(), 6U);
  // Links come last.
  EXPECT_LT(std::ranges::find(guest_.calls, "put /g/t/a/b/file"),
            std::ranges::find(guest_.calls, "put /g/t/link"));
  run(copy.remove());
  EXPECT_THAT(guest_.things, IsEmpty());
}

TEST_F(TreeCopyTest, AFolderKeepsItsOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  file("file", "x");
  ASSERT_EQ(::chown((source_ + "/file").c_str(), 1000, 2000), 0);
  TreeCopy copy(source_, "/g/t", guest_);
  update(copy);
  EXPECT_EQ(guest_.things.at("/g/t").uid, 0U) << "the copy of the file has given it away";
  EXPECT_EQ(guest_.things.at("/g/t/file").uid, 1000U);
  EXPECT_EQ(guest_.things.at("/g/t/file").gid, 2000U);
}

TEST_F(TreeCopyTest, ChunksOfAFile) {
  for (const size_t size : {0, 1, 9, 10, 11, 20, 25}) {
    std::string text(size, 'x');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i);
    file("file", text);
    FakeGuestFiles guest;
    TreeCopy copy(source_ + "/file", "/g/f", guest, 10);
    update(copy);
    EXPECT_EQ(guest.at("/g/f"), text) << size;
    EXPECT_LE(guest.largest, 10U);
    EXPECT_EQ(guest.calls.size(), std::max<size_t>(1, (size + 9) / 10)) << size;
  }
}

TEST_F(TreeCopyTest, OnlyWhatChangedIsSaid) {
  fs::create_directory(source_ + "/d");
  for (const char* name : {"kept", "changed", "gone", "d/x", "d/y"}) file(name, name);
  age();
  TreeCopy copy(source_, "/g/t", guest_, 4096);
  update(copy);
  // What was changed a moment ago is put once more: a later change might look the same.
  const timespec tick{.tv_sec = 0, .tv_nsec = 60'000'000};
  ::nanosleep(&tick, nullptr);
  update(copy);
  guest_.calls.clear();
  EXPECT_EQ(update(copy), TreeCopy::Outcome::kSettled);
  EXPECT_THAT(guest_.calls, IsEmpty());
  guest_.things["/g/t/of-the-guest"] = {};
  file("changed", "new text");
  fs::remove(source_ + "/gone");
  fs::rename(source_ + "/d", source_ + "/e");
  update(copy);
  EXPECT_EQ(guest_.at("/g/t/changed"), "new text");
  EXPECT_EQ(guest_.at("/g/t/gone"), "<none>");
  EXPECT_EQ(guest_.at("/g/t/e/x"), "d/x");
  EXPECT_EQ(guest_.at("/g/t/d/x"), "<none>");
  EXPECT_EQ(guest_.at("/g/t/of-the-guest"), "");
  EXPECT_THAT(guest_.calls, Not(Contains("put /g/t/kept")));
  EXPECT_THAT(guest_.calls, Not(Contains("remove /g/t/d/x"))) << "it goes with its folder";
}

TEST_F(TreeCopyTest, LinksFlipBetweenWholeFolders) {
  fs::create_directory(source_ + "/..1");
  file("..1/a", "1");
  fs::create_symlink("..1", source_ + "/..data");
  TreeCopy copy(source_, "/g/t", guest_);
  update(copy);
  fs::create_directory(source_ + "/..2");
  file("..2/a", "2");
  fs::create_symlink("..2", source_ + "/..tmp");
  fs::rename(source_ + "/..tmp", source_ + "/..data");
  fs::remove_all(source_ + "/..1");
  guest_.calls.clear();
  update(copy);
  const auto at = [&](const char* call) {
    return std::ranges::find(guest_.calls, call) - guest_.calls.begin();
  };
  EXPECT_LT(at("put /g/t/..2/a"), at("put /g/t/..data"));
  EXPECT_LT(at("put /g/t/..data"), at("remove /g/t/..1"));
  EXPECT_LT(at("remove /g/t/..1"), static_cast<ptrdiff_t>(guest_.calls.size()));
  EXPECT_EQ(guest_.at("/g/t/..data"), "..2");
}

TEST_F(TreeCopyTest, ChangesOfType) {
  fs::create_directory(source_ + "/folder");
  file("folder/inner", "x");
  file("file", "x");
  TreeCopy copy(source_, "/g/t", guest_);
  update(copy);
  fs::remove_all(source_ + "/folder");
  file("folder", "a file now");
  fs::remove(source_ + "/file");
  fs::create_directory(source_ + "/file");
  file("file/inner", "in it");
  update(copy);
  EXPECT_EQ(guest_.at("/g/t/folder"), "a file now");
  EXPECT_EQ(guest_.at("/g/t/folder/inner"), "<none>");
  EXPECT_EQ(guest_.at("/g/t/file/inner"), "in it");
}

TEST_F(TreeCopyTest, AMountOfAFileKeepsItsInode) {
  const std::string path = base_ + "/hosts";
  write_file(path, "a long first text");
  TreeCopy copy(path, "/g/hosts", guest_, 5);
  update(copy);
  write_file_atomic(path, "second");
  update(copy);
  EXPECT_EQ(guest_.at("/g/hosts"), "second");
  EXPECT_EQ(guest_.things.at("/g/hosts").inode, 1);
}

TEST_F(TreeCopyTest, AnAgentWithoutOurCalls) {
  guest_.ours = false;
  file("file", "x");
  TreeCopy folder(source_, "/g/t", guest_), one(source_ + "/file", "/g/f", guest_);
  update(folder);
  update(one);
  file("file", "new");
  update(one);
  EXPECT_EQ(guest_.at("/g/f"), "new") << "by a new inode";
  fs::remove(source_ + "/file");
  EXPECT_EQ(update(folder), TreeCopy::Outcome::kSettled);
  EXPECT_EQ(guest_.at("/g/t/file"), "x") << "it stays";
  run(folder.remove());
}

TEST_F(TreeCopyTest, AFileThatChangesWhileItIsCopied) {
  struct Row {
    const char* name;
    std::function<void(const std::string& path)> change;
    const char* wanted;
  };
  const Row rows[] = {
      {"grows", [](const std::string& path) { write_file(path, "0123456789abcdef"); }, "0123456789abcdef"},
      {"becomes shorter", [](const std::string& path) { write_file(path, "012"); }, "012"},
      {"is replaced", [](const std::string& path) { write_file_atomic(path, "other text"); }, "other text"},
      {"is gone", [](const std::string& path) { fs::remove(path); }, "<none>"},
      {"becomes a link to a secret",
       [this](const std::string& path) {
         fs::remove(path);
         fs::create_symlink(base_ + "/secret", path);
       },
       "link"},
  };
  write_file(base_ + "/secret", "secret");
  for (const Row& row : rows) {
    fs::remove(source_ + "/z");
    file("z", "0123456789");
    FakeGuestFiles guest;
    TreeCopy copy(source_, "/g/t", guest, 4);
    bool done = false;
    guest.before_put = [&](const agent::FileChunk& chunk) {
      if (chunk.path == "/g/t/z" && !std::exchange(done, true)) row.change(source_ + "/z");
    };
    const TreeCopy::Outcome first = update(copy);
    if (first == TreeCopy::Outcome::kUnsettled || guest.at("/g/t/z") != row.wanted) update(copy);
    const std::string wanted = row.wanted == std::string("link") ? base_ + "/secret" : row.wanted;
    EXPECT_EQ(guest.at("/g/t/z"), wanted) << row.name;
    for (const auto& [path, thing] : guest.things) EXPECT_NE(thing.data, "secret") << row.name;
  }
}

TEST_F(TreeCopyTest, ALinkLaidAfterTheLookIsNotFollowed) {
  fs::create_directory(source_ + "/d");
  file("d/f", "inside");
  fs::create_directory(base_ + "/out");
  write_file(base_ + "/out/f", "outside");
  const Snapshot seen = take_snapshot(source_, {});
  fs::remove_all(source_ + "/d");
  fs::create_directory_symlink(base_ + "/out", source_ + "/d");
  TreeCopy copy(source_, "/g/t", guest_);
  EXPECT_EQ(run(copy.update(seen)), TreeCopy::Outcome::kUnsettled);
  EXPECT_EQ(guest_.at("/g/t/d/f"), "<none>");
  update(copy);
  EXPECT_EQ(guest_.at("/g/t/d"), base_ + "/out") << "the link is text in the guest";
}

TEST_F(TreeCopyTest, ErrorsLeaveTheRestForTheNextTime) {
  file("a", "1");
  file("b", "2");
  TreeCopy copy(source_, "/g/t", guest_);
  guest_.before_put = [&](const agent::FileChunk& chunk) {
    if (chunk.path == "/g/t/b") guest_.fail = Error(Code::kInternal, "no space in the guest");
  };
  EXPECT_THAT(error_of([&] { update(copy); }).message(), HasSubstr("no space in the guest"));
  guest_.before_put = nullptr;
  guest_.fail.reset();
  update(copy);
  EXPECT_EQ(guest_.at("/g/t/a"), "1");
  EXPECT_EQ(guest_.at("/g/t/b"), "2");
}

}  // namespace
}  // namespace kata::file_copy
