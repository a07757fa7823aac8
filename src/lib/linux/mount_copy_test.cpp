#include "lib/linux/mount_copy.h"

#include <filesystem>
#include <sys/mount.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::kernel {
namespace {

namespace fs = std::filesystem;

// Two namespaces of this test, one started from the other; nothing is passed on between them.
class MountCopy : public testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs CAP_SYS_ADMIN for mount namespaces";
    std::string pattern = (fs::temp_directory_path() / "mount-copy.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    set_propagation("/", MS_PRIVATE | MS_REC);
    // Ends with the namespaces.
    mount("tmpfs", folder_, "tmpfs", 0, "");
    for (const char* name : {"source", "target", "empty"}) fs::create_directory(folder_ + "/" + name);
    outer_ = open_file("/proc/self/ns/mnt", O_RDONLY);
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    own_ = open_file("/proc/self/ns/mnt", O_RDONLY);
    ASSERT_EQ(::setns(outer_.get(), CLONE_NEWNS), 0);
    mount("tmpfs", folder_ + "/source", "tmpfs", 0, "");
    write_file(folder_ + "/source/late", "");
    fs::create_directory(folder_ + "/source/below");
    mount("tmpfs", folder_ + "/source/below", "tmpfs", 0, "");
    ASSERT_EQ(::setns(own_.get(), CLONE_NEWNS), 0);
  }
  void TearDown() override {
    set_outer_mounts(UniqueFd());
    unmount_detach(folder_);
    std::error_code ignored;
    fs::remove(folder_, ignored);
  }
  [[nodiscard]] bool has_late() const { return fs::exists(folder_ + "/target/late"); }

  std::string folder_;
  UniqueFd outer_, own_;
};

TEST_F(MountCopy, OwnViewLacksWhatWasMountedLaterElsewhere) {
  attach_mounts(copy_mounts(folder_ + "/source"), folder_ + "/target", CopyAccess::kAsSource);
  EXPECT_FALSE(has_late());
  attach_mounts(copy_outer_mounts(folder_ + "/source"), folder_ + "/target", CopyAccess::kAsSource);
  EXPECT_FALSE(has_late()) << "nothing is known of an outer namespace";
}

TEST_F(MountCopy, OuterViewHasIt) {
  set_outer_mounts(std::move(outer_));
  attach_mounts(copy_outer_mounts(folder_ + "/source"), folder_ + "/target", CopyAccess::kReadOnly);
  EXPECT_TRUE(has_late());
  for (const char* place : {"/target/new", "/target/below/new"})
    EXPECT_EQ(::open((folder_ + place).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644), -1) << place;
  EXPECT_EQ(errno, EROFS);
}

TEST_F(MountCopy, WhatIsNotThereIsLookedForHere) {
  set_outer_mounts(std::move(outer_));
  mount("tmpfs", folder_ + "/empty", "tmpfs", 0, "");
  fs::create_directory(folder_ + "/empty/inner");
  attach_mounts(copy_outer_mounts(folder_ + "/empty/inner"), folder_ + "/target", CopyAccess::kAsSource);
  EXPECT_THROW(copy_outer_mounts(folder_ + "/nowhere"), Error);
}

}  // namespace
}  // namespace kata::kernel
