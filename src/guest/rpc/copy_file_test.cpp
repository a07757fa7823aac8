#include "guest/rpc/copy_file.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata::rpc {
namespace {

namespace fs = std::filesystem;

class CopyFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "copy-test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    root_ = base_ + "/share";
    fs::create_directories(root_);
    fs::create_directories(base_ + "/outside");
  }
  void TearDown() override { fs::remove_all(base_); }

  [[nodiscard]] CopyRequest file(const std::string& name, std::string_view data) const {
    CopyRequest request;
    request.path = root_ + "/" + name;
    request.file_size = static_cast<int64_t>(data.size());
    request.file_mode = S_IFREG | 0640;
    request.directory_mode = 0755;
    request.uid = static_cast<int32_t>(::geteuid());
    request.gid = static_cast<int32_t>(::getegid());
    request.data = data;
    return request;
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream stream(root_ + "/" + name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  Code code_of(const CopyRequest& request) {
    try {
      copy_file(root_, request);
      return Code::kOk;
    } catch (const Error& error) {
      message_ = error.message();
      return error.code();
    }
  }

  std::string base_, root_, message_;
};

TEST_F(CopyFile, FilesWithParentsAndModes) {
  copy_file(root_, file("a/b/c.txt", "hello"));
  EXPECT_EQ(content("a/b/c.txt"), "hello");
  EXPECT_EQ(fs::status(root_ + "/a/b/c.txt").permissions(), static_cast<fs::perms>(0640));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ + "/a/b"), {}), 1) << "nothing temporary stays";
  copy_file(root_, file("a/b/c.txt", ""));
  EXPECT_EQ(content("a/b/c.txt"), "");
}

TEST_F(CopyFile, ChunksAppearAtTheEnd) {
  CopyRequest first = file("f", "abc");
  first.file_size = 6;
  copy_file(root_, first);
  EXPECT_FALSE(fs::exists(root_ + "/f"));
  CopyRequest second = file("f", "def");
  second.file_size = 6;
  second.offset = 3;
  copy_file(root_, second);
  EXPECT_EQ(content("f"), "abcdef");
  // The old file is there until the new one is whole.
  first.data = "ABC";
  copy_file(root_, first);
  EXPECT_EQ(content("f"), "abcdef");
  second.data = "DEF";
  copy_file(root_, second);
  EXPECT_EQ(content("f"), "ABCDEF");
  // No file of the volume is taken for a temporary one.
  copy_file(root_, file("f.tmp", "kept"));
  copy_file(root_, file("f.conf", "new"));
  copy_file(root_, file(std::string(255, 'n'), "long"));
  EXPECT_EQ(content("f.tmp"), "kept");
  EXPECT_EQ(content(std::string(255, 'n')), "long");
}

TEST_F(CopyFile, FoldersAndLinks) {
  CopyRequest folder = file("d", "");
  folder.file_mode = S_IFDIR | 0750;
  copy_file(root_, folder);
  folder.file_mode = S_IFDIR | 0700;
  copy_file(root_, folder);
  EXPECT_EQ(fs::status(root_ + "/d").permissions(), static_cast<fs::perms>(0700));
  CopyRequest link = file("d/link", "..2024");
  link.file_mode = S_IFLNK | 0777;
  copy_file(root_, link);
  EXPECT_EQ(fs::read_symlink(root_ + "/d/link"), "..2024");
  link.data = "..2025";
  copy_file(root_, link);
  EXPECT_EQ(fs::read_symlink(root_ + "/d/link"), "..2025");
  // Links inside may be used.
  copy_file(root_, file("d/..2025/x", "1"));
  copy_file(root_, file("d/link/y", "2"));
  EXPECT_EQ(content("d/..2025/y"), "2");
}

TEST_F(CopyFile, RewritingKeepsTheInode) {
  copy_file(root_, file("f", "long content"));
  fs::create_hard_link(root_ + "/f", base_ + "/same");
  CopyRequest first = file("f", "new");
  first.file_size = 4;
  first.file_mode = 0600;
  rewrite_file(root_, first);
  first.offset = 3;
  first.data = "!";
  rewrite_file(root_, first);
  EXPECT_EQ(content("../same"), "new!");
  EXPECT_EQ(fs::status(root_ + "/f").permissions(), static_cast<fs::perms>(0600));
  CopyRequest empty = file("f", "");
  rewrite_file(root_, empty);
  EXPECT_EQ(content("../same"), "");
}

TEST_F(CopyFile, RewritingWantsAFile) {
  fs::create_directories(root_ + "/folder");
  std::ofstream(base_ + "/outside/f") << "old";
  fs::create_symlink(base_ + "/outside/f", root_ + "/link");
  fs::create_directory_symlink(base_ + "/outside", root_ + "/up");
  ASSERT_EQ(::mkfifo((root_ + "/fifo").c_str(), 0600), 0);
  for (const char* name : {"missing", "folder", "link", "up/f", "fifo", "../outside/f", ""})
    EXPECT_THROW(rewrite_file(root_, file(name, "x")), Error) << name;
  CopyRequest beyond = file("f", "data");
  copy_file(root_, beyond);
  beyond.file_size = 3;
  EXPECT_THROW(rewrite_file(root_, beyond), Error);
  EXPECT_EQ(content("../outside/f"), "old");
}

TEST_F(CopyFile, RemovingStaysInside) {
  copy_file(root_, file("d/e/f", "1"));
  copy_file(root_, file("d/g", "2"));
  std::ofstream(base_ + "/outside/f") << "old";
  fs::create_directory_symlink(base_ + "/outside", root_ + "/d/link");
  fs::create_directory_symlink(base_ + "/outside", root_ + "/up");
  remove_copied(root_, root_ + "/d/g");
  EXPECT_TRUE(fs::exists(root_ + "/d/e/f"));
  remove_copied(root_, root_ + "/d");
  remove_copied(root_, root_ + "/d");
  remove_copied(root_, root_ + "/d/e/f");
  EXPECT_FALSE(fs::exists(root_ + "/d"));
  CopyRequest part = file("part", "abc");
  part.file_size = 6;
  copy_file(root_, part);
  remove_copied(root_, root_ + "/part");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 1) << "only the link is left";
  remove_copied(root_ + "/never", root_ + "/never/x");
  for (const std::string& path :
       {root_ + "/up/f", root_ + "/../outside/f", base_ + "/outside", root_, root_ + "/", std::string()})
    EXPECT_THROW(remove_copied(root_, path), Error) << path;
  remove_copied(root_, root_ + "/up");
  EXPECT_EQ(content("../outside/f"), "old");
}

TEST_F(CopyFile, NothingEscapes) {
  fs::create_directory_symlink(base_ + "/outside", root_ + "/absolute");
  fs::create_directory_symlink("../outside", root_ + "/relative");
  std::ofstream(base_ + "/outside/f") << "old";
  fs::create_symlink(base_ + "/outside/f", root_ + "/f");
  struct Row {
    const char* name;
    std::string path;
  };
  for (const Row& row :
       {Row{"elsewhere", base_ + "/outside/x"}, Row{"root itself", root_}, Row{"slash", root_ + "/"},
        Row{"dots", root_ + "/../outside/x"}, Row{"dots inside", root_ + "/a/../../outside/x"},
        Row{"absolute link", root_ + "/absolute/x"}, Row{"relative link", root_ + "/relative/x"},
        Row{"prefix only", root_ + "x/y"}, Row{"double slash", root_ + "//x"}, Row{"empty", ""}}) {
    CopyRequest request = file("x", "data");
    request.path = row.path;
    EXPECT_NE(code_of(request), Code::kOk) << row.name;
  }
  EXPECT_FALSE(fs::exists(base_ + "/outside/x"));
  // A link at the path itself is replaced, not followed.
  copy_file(root_, file("f", "new"));
  EXPECT_EQ(content("f"), "new");
  std::ifstream outside(base_ + "/outside/f");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(outside), {}), "old");
}

TEST_F(CopyFile, BadNumbersAndTypes) {
  struct Row {
    const char* name;
    void (*change)(CopyRequest& request);
    const char* text;
  };
  for (const Row& row : {Row{"size", [](CopyRequest& r) { r.file_size = -1; }, "file_size"},
                         Row{"offset", [](CopyRequest& r) { r.offset = -1; }, "offset"},
                         Row{"beyond", [](CopyRequest& r) { r.file_size = 2; }, "file_size"},
                         Row{"far", [](CopyRequest& r) { r.offset = INT64_MAX; }, "file_size"},
                         Row{"type", [](CopyRequest& r) { r.file_mode = S_IFIFO | 0600; }, "file_mode"},
                         Row{"no type", [](CopyRequest& r) { r.file_mode = 0644; }, "file_mode"},
                         Row{"empty link",
                             [](CopyRequest& r) {
                               r.file_mode = S_IFLNK;
                               r.data = "";
                             },
                             "data"}}) {
    CopyRequest request = file("x", "data");
    row.change(request);
    EXPECT_EQ(code_of(request), Code::kInvalidArgument) << row.name;
    EXPECT_NE(message_.find(row.text), std::string::npos) << message_;
  }
}

}  // namespace
}  // namespace kata::rpc
