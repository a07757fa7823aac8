#include "host/resource/share_fs/share_tree.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include "host/resource/share_fs/share_test_folder.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::share_fs {
namespace {

using testing::IsEmpty;

int write_errno(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return fd ? 0 : errno;
}

std::vector<std::string> remove_all(const ShareTree& tree) {
  Teardown teardown("test", nullptr);
  tree.remove(teardown);
  return teardown.failures();
}

class ShareTreeTest : public ShareTest {
 protected:
  std::string make_source(const std::string& name) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(path);
    write_file(path + "/file", "content of " + name);
    return path;
  }
};

TEST_F(ShareTreeTest, WhatIsBoundShowsInTheExportAndIsGoneAfterwards) {
  ShareTree tree(folder_ + "/base", "sb1");
  tree.create();
  tree.bind(make_source("rootfs"), "c1/rootfs", ShareTree::Access::kReadWrite);
  tree.bind(make_source("vol"), "sandbox-12345678-vol", ShareTree::Access::kReadOnly);
  tree.bind(make_source("etc") + "/file", "sandbox-12345678-file", ShareTree::Access::kReadWrite);
  const std::string out = tree.exported() + "/passthrough/";
  EXPECT_EQ(read_file(out + "c1/rootfs/file"), "content of rootfs");
  EXPECT_EQ(read_file(out + "sandbox-12345678-file"), "content of etc");
  struct Row {
    const char* name;
    const char* path;
    int expected;
  };
  for (const Row& row : {Row{"rootfs is writable", "c1/rootfs/new", 0},
                         Row{"beside the mounts nothing can be made", "new", EROFS},
                         Row{"nor in a container's folder", "c1/new", EROFS},
                         Row{"read-only volume", "sandbox-12345678-vol/new", EROFS},
                         Row{"file", "sandbox-12345678-file", 0}}) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(write_errno(out + row.path), row.expected);
  }
  tree.unbind("c1/rootfs");
  tree.unbind("c1/rootfs");
  EXPECT_FALSE(std::filesystem::exists(out + "c1"));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/rootfs/file")) << "the source stays";
  EXPECT_THAT(remove_all(tree), IsEmpty());
  EXPECT_THAT(remove_all(tree), IsEmpty());
  EXPECT_THAT(kernel::mounts_below(folder_), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/base")) << "the last sandbox takes it away";
  EXPECT_EQ(read_file(folder_ + "/vol/file"), "content of vol");
}

TEST_F(ShareTreeTest, ASecondCopyOfTheNamespaceSeesLaterMounts) {
  // As virtiofsd does it: a mount namespace of its own, made before the container comes.
  ShareTree tree(folder_ + "/base", "sb1");
  tree.create();
  std::array<int, 2> go, ready;
  ASSERT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  const std::string seen = tree.exported() + "/passthrough/c1/rootfs/file";
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    bool good =
        ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
    good = ::write(ready[1], "r", 1) == 1 && good;
    good = ::read(go[0], &byte, 1) == 1 && good;
    ::_exit(good && ::access(seen.c_str(), F_OK) == 0 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  tree.bind(make_source("rootfs"), "c1/rootfs", ShareTree::Access::kReadWrite);
  ASSERT_EQ(::write(go[1], "g", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int fd : {go[0], go[1], ready[0], ready[1]}) ::close(fd);
  EXPECT_THAT(remove_all(tree), IsEmpty());
}

TEST_F(ShareTreeTest, NeverDeletesContent) {
  ShareTree tree(folder_ + "/base", "sb1");
  tree.create();
  write_file(tree.host_path("precious"), "data");
  EXPECT_EQ(remove_all(tree).size(), 1U);
  EXPECT_EQ(read_file(folder_ + "/base/sb1/rw/passthrough/precious"), "data");
  ::unlink((folder_ + "/base/sb1/rw/passthrough/precious").c_str());
  EXPECT_THAT(remove_all(tree), IsEmpty());
}

TEST_F(ShareTreeTest, BadSourcesAndTakenNames) {
  ShareTree tree(folder_ + "/base", "sb1");
  tree.create();
  ShareTree again(folder_ + "/base", "sb1");
  EXPECT_THROW(again.create(), Error);
  EXPECT_THROW(tree.bind("/nonexistent", "c1/rootfs", ShareTree::Access::kReadWrite), Error);
  tree.bind(make_source("rootfs"), "c1/rootfs", ShareTree::Access::kReadWrite);
  EXPECT_THROW(tree.bind(make_source("other"), "c1/rootfs", ShareTree::Access::kReadWrite), Error);
  EXPECT_EQ(read_file(tree.host_path("c1/rootfs/file")), "content of rootfs");
  EXPECT_THAT(remove_all(tree), IsEmpty());
}

TEST(ShareTreeNameTest, FileNames) {
  struct Row {
    const char* name;
    bool good;
  };
  for (const Row& row : {Row{"a", true}, Row{"..a", true}, Row{"", false}, Row{".", false}, Row{"..", false},
                         Row{"a/b", false}, Row{"/", false}}) {
    EXPECT_EQ(is_file_name(row.name), row.good) << row.name;
  }
  EXPECT_FALSE(is_file_name(std::string(256, 'a')));
  EXPECT_FALSE(is_file_name(std::string_view("a\0b", 3)));
  EXPECT_THROW(ShareTree("/tmp", "../x"), Error);
}

}  // namespace
}  // namespace kata::share_fs
