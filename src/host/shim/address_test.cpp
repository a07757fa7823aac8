#include "host/shim/address.h"

#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "lib/error/error.h"

namespace kata::shim {
namespace {

TEST(JoinPath, AsGoCleansIt) {
  struct Row {
    std::initializer_list<std::string_view> elements;
    const char* joined;
  };
  const Row rows[] = {
      {{"/run/containerd/containerd.sock", "default", "c1"}, "/run/containerd/containerd.sock/default/c1"},
      {{"", "default", "c1"}, "default/c1"},
      {{"/a//b/", "./c", "d"}, "/a/b/c/d"},
      {{"/a", "..", "..", "b"}, "/b"},
      {{"a", "../..", "b"}, "../b"},
      {{"", ""}, ""},
      {{"."}, "."},
      {{"/"}, "/"},
  };
  for (const Row& row : rows) EXPECT_EQ(join_path(row.elements), row.joined) << row.joined;
}

TEST(SocketPath, FollowsTheConvention) {
  // printf /run/containerd/containerd.sock/default/c1 | sha256sum
  EXPECT_EQ(socket_path(kDefaultSocketDir, "/run/containerd/containerd.sock", "default", "c1"),
            "/run/containerd/s/d25aa4ef11a84e954e74a5bcff06557d0b6ea8d0c00243896f29826694bbd888");
  // printf default/c1 | sha256sum
  EXPECT_EQ(socket_path("/x", "", "default", "c1"),
            "/x/3a4ba0ad328f407b30cccb555302fc1c4c73e1d92d16d2583787f9faddf320ca");
}

TEST(PathOfAddress, UnixOnly) {
  EXPECT_EQ(path_of_address("unix:///run/s/x"), "/run/s/x");
  EXPECT_EQ(path_of_address("/run/s/x"), "/run/s/x");
  for (const char* other : {"", "abstract", "vsock://3:1024", "unix://relative", "hvsock:///x:1"})
    EXPECT_EQ(path_of_address(other), "") << other;
}

class ListenAt : public testing::Test {
 protected:
  ListenAt() { root_ = mkdtemp(name_); }
  ~ListenAt() override { std::filesystem::remove_all(root_); }
  char name_[32] = "/tmp/kata-address-XXXXXX";
  std::string root_;
};

TEST_F(ListenAt, MakesDirectoryAndSocketForTheOwnerOnly) {
  const Listening listening = listen_at(root_ + "/a/s/x");
  EXPECT_TRUE(listening.socket.valid());
  struct stat info{};
  ASSERT_EQ(stat((root_ + "/a/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(stat((root_ + "/a/s/x").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_TRUE(is_served(root_ + "/a/s/x"));
}

TEST_F(ListenAt, ALivingListenerStays) {
  const Listening first = listen_at(root_ + "/x");
  const Listening second = listen_at(root_ + "/x");
  EXPECT_TRUE(second.already_served);
  EXPECT_FALSE(second.socket.valid());
}

TEST_F(ListenAt, AStaleSocketIsReplaced) {
  listen_at(root_ + "/x").socket.reset();
  const Listening listening = listen_at(root_ + "/x");
  EXPECT_FALSE(listening.already_served);
  EXPECT_TRUE(is_served(root_ + "/x"));
}

TEST_F(ListenAt, TooLongIsRefusedWithTheReason) {
  try {
    listen_at(root_ + "/" + std::string(120, 'x'));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_NE(error.message().find("at most 107"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace kata::shim
