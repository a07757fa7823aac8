#include "host/resource/rootfs/mounted_rootfs.h"

#include <filesystem>
#include <string>
#include <sys/mount.h>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::rootfs {
namespace {

class MountedRootfsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0)
      GTEST_SKIP() << "needs root for a mount namespace of its own";
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr), 0);
    char name[] = "/tmp/kata-rootfs-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    for (const char* folder : {"/lower", "/upper", "/work"}) std::filesystem::create_directory(dir_ + folder);
    write_file(dir_ + "/lower/hello", "x");
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, std::move(task), asio::use_future);
    context_.restart();
    context_.run();
    return future.get();
  }

  // The overlay goes on a tmpfs, since the test's own folder may be on an overlay already.
  MountRequest overlay() const {
    return {"overlay",
            "overlay",
            "",
            {"workdir=" + dir_ + "/work", "upperdir=" + dir_ + "/upper", "lowerdir=" + dir_ + "/lower"}};
  }

  std::string dir_;
  asio::io_context context_;
};

TEST_F(MountedRootfsTest, OverlayIsMountedAndGivenBack) {
  ASSERT_EQ(::mount("tmpfs", dir_.c_str(), "tmpfs", 0, nullptr), 0);
  for (const char* folder : {"/lower", "/upper", "/work"}) std::filesystem::create_directory(dir_ + folder);
  write_file(dir_ + "/lower/hello", "x");
  auto rootfs = run(MountedRootfs::prepare({overlay()}, dir_ + "/rootfs"));
  EXPECT_EQ(read_file(rootfs->path() + "/hello"), "x");
  run(rootfs->release());
  run(rootfs->release());
  EXPECT_TRUE(kernel::mounts_below(dir_ + "/rootfs").empty());
  ::umount2(dir_.c_str(), MNT_DETACH);
}

TEST_F(MountedRootfsTest, AFailingMountIsNamedAndUndoesTheOnesBefore) {
  const MountRequest first{"tmpfs", "first", "", {}};
  const MountRequest missing{"bind", dir_ + "/no/such/source", "", {"rbind", "rw"}};
  try {
    run(MountedRootfs::prepare({first, missing}, dir_ + "/rootfs"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_NE(error.message().find("/no/such/source"), std::string::npos) << error.message();
  }
  EXPECT_TRUE(kernel::mounts_below(dir_ + "/rootfs").empty());
}

TEST_F(MountedRootfsTest, WithoutMountsTheFolderMustBeThere) {
  EXPECT_EQ(run(MountedRootfs::prepare({}, dir_ + "/lower"))->path(), dir_ + "/lower");
  EXPECT_THROW(run(MountedRootfs::prepare({}, dir_ + "/nothing")), Error);
  EXPECT_THROW(run(MountedRootfs::prepare({}, dir_ + "/lower/hello")), Error);
}

}  // namespace
}  // namespace kata::rootfs
