#include "host/device/disk_file.h"

#include <filesystem>
#include <functional>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::device {
namespace {

using testing::HasSubstr;

class DiskFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-disk-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string file(const std::string& name, uint64_t size) const {
    const std::string path = dir_ + "/" + name;
    write_file(path, "");
    std::filesystem::resize_file(path, size);
    return path;
  }
  // Code and message of what opening throws.
  static Error failure(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error;
    }
    return {Code::kOk, ""};
  }

  std::string dir_;
};

TEST_F(DiskFileTest, ASparseFileIsADisk) {
  const std::string path = file("disk", 1 << 20);
  const DiskFile disk = open_disk(path, Access::kReadWrite);
  EXPECT_EQ(disk.size, 1U << 20);
  EXPECT_FALSE(disk.readonly);
  EXPECT_EQ(disk.backing, vmm::DiskSpec::Backing::kFile);
  EXPECT_EQ(disk.key, key_of(path));
  EXPECT_EQ(::fcntl(disk.fd.get(), F_GETFL) & O_ACCMODE, O_RDWR);
  EXPECT_NE(::fcntl(disk.fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(DiskFileTest, WhatIsNoDiskIsRefused) {
  struct Row {
    const char* name;
    std::string path;
    Code code;
    const char* words;
  };
  ASSERT_EQ(::mkfifo((dir_ + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("nowhere", (dir_ + "/dangling").c_str()), 0);
  const std::vector<Row> rows = {
      {"missing", dir_ + "/none", Code::kNotFound, "/none"},
      {"dangling link", dir_ + "/dangling", Code::kNotFound, "/dangling"},
      {"folder", dir_, Code::kInvalidArgument, "is a folder"},
      {"fifo", dir_ + "/fifo", Code::kInvalidArgument, "special file"},
      {"character device", "/dev/null", Code::kInvalidArgument, "special file"},
      {"empty", file("empty", 0), Code::kFailedPrecondition, "is empty"},
  };
  for (const Row& row : rows) {
    const Error error = failure([&] { open_disk(row.path, Access::kReadOnly); });
    EXPECT_EQ(error.code(), row.code) << row.name << ": " << error.message();
    EXPECT_THAT(error.message(), HasSubstr(row.words)) << row.name;
  }
}

TEST_F(DiskFileTest, OneWriterOrManyReaders) {
  const std::string path = file("disk", 4096);
  {
    const DiskFile reader = open_disk(path, Access::kReadOnly);
    const DiskFile another = open_disk(path, Access::kReadOnly);
    const Error error = failure([&] { open_disk(path, Access::kReadWrite); });
    EXPECT_EQ(error.code(), Code::kFailedPrecondition);
    EXPECT_THAT(error.message(), HasSubstr("in use by another sandbox"));
  }
  const DiskFile writer = open_disk(path, Access::kReadWrite);
  EXPECT_THAT(failure([&] { open_disk(path, Access::kReadOnly); }).message(),
              HasSubstr("which writes to it"));
  // Whoever got a copy of the descriptor holds the lock, too.
  const UniqueFd copy(::dup(writer.fd.get()));
  {
    const DiskFile gone = open_disk(file("other", 512), Access::kReadWrite);
  }
  EXPECT_EQ(failure([&] { open_disk(path, Access::kReadWrite); }).code(), Code::kFailedPrecondition);
}

TEST_F(DiskFileTest, TheFileSystemMustBeThereAndWhole) {
  const std::string path = file("disk", 1 << 20);
  const auto check = [&](const std::string& type) {
    return check_filesystem(open_disk(path, Access::kReadOnly), path, type);
  };
  EXPECT_THAT(failure([&] { check("ext4"); }).message(), HasSubstr("has no ext4 file system"));
  EXPECT_THAT(failure([&] { check(""); }).message(), HasSubstr("has no known file system"));
  EXPECT_EQ(check("ntfs"), "ntfs") << "not known here, the guest decides";
  // EROFS of 256 blocks of 4 KiB is as large as the disk.
  std::string head(1200, '\0');
  head.replace(1024, 4, "\xE2\xE1\xF5\xE0");
  head[1036] = 12;
  head[1061] = 1;
  head.resize(1 << 20);
  write_file(path, head);
  EXPECT_EQ(check("erofs"), "erofs");
  EXPECT_EQ(check(""), "erofs");
  EXPECT_THAT(failure([&] { check("xfs"); }).message(), HasSubstr("has no xfs file system but erofs"));
  std::filesystem::resize_file(path, (1 << 20) - 4096);
  const Error small = failure([&] { check("erofs"); });
  EXPECT_EQ(small.code(), Code::kInvalidArgument);
  EXPECT_THAT(small.message(), HasSubstr("has 1044480 bytes, its erofs file system 1048576"));
}

TEST_F(DiskFileTest, TheNodeOfADeviceNumber) {
  std::filesystem::create_directories(dir_ + "/dev/block/7:3");
  write_file(dir_ + "/dev/block/7:3/uevent", "MAJOR=7\nMINOR=3\nDEVNAME=loop3\nDEVTYPE=disk\n");
  EXPECT_EQ(node_of(7, 3, dir_), "/dev/loop3");
  EXPECT_EQ(node_of(7, 4, dir_), "");
}

}  // namespace
}  // namespace kata::device
