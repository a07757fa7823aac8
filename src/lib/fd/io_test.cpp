#include "lib/fd/io.h"

#include <filesystem>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata {
namespace {

class IoTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-io-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(IoTest, FilesRoundTripAndLimitsHold) {
  const std::string path = dir_ + "/f";
  write_file(path, std::string(5000, 'x'));
  EXPECT_EQ(read_file(path).size(), 5000U);
  EXPECT_EQ(read_file(path, 5000).size(), 5000U);
  try {
    read_file(path, 4999);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kResourceExhausted);
  }
  write_file_atomic(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(IoTest, MissingFilesAreNamed) {
  try {
    write_existing(dir_ + "/none", "1");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_NE(error.message().find(dir_ + "/none"), std::string::npos);
  }
  EXPECT_THROW(write_file_atomic(dir_ + "/no/dir", "1"), Error);
}

TEST_F(IoTest, DescriptorsCloseOnExecAndOnDestruction) {
  int raw = -1;
  {
    UniqueFd fd = open_file(dir_, O_RDONLY | O_DIRECTORY);
    raw = fd.get();
    EXPECT_NE(::fcntl(raw, F_GETFD) & FD_CLOEXEC, 0);
    UniqueFd moved = std::move(fd);
    EXPECT_EQ(moved.get(), raw);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

}  // namespace
}  // namespace kata
