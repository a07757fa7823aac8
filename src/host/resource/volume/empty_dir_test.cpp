#include "host/resource/volume/empty_dir.h"

#include <filesystem>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/device/disk_file.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::volume {
namespace {

TEST(EmptyDir, KnownByItsPlace) {
  EXPECT_TRUE(is_empty_dir("/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache"));
  EXPECT_FALSE(is_empty_dir("/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir"));
  EXPECT_FALSE(is_empty_dir("/var/lib/kubelet/pods/u/volumes/kubernetes.io~configmap/cache"));
  oci::Mount mount;
  mount.type = "bind";
  mount.source = "/nowhere/kubernetes.io~empty-dir/cache";
  EXPECT_FALSE(empty_dir_image(mount)) << "not there";
}

TEST(EmptyDir, TheImageIsMadeOnce) {
  if (std::system("command -v mke2fs >/dev/null") != 0) GTEST_SKIP() << "no mke2fs on this machine";
  char name[] = "/tmp/kata-emptydir-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name, folder = root + "/kubernetes.io~empty-dir/cache";
  std::filesystem::create_directories(folder);
  oci::Mount mount;
  mount.type = "bind";
  mount.source = folder;
  const auto image = empty_dir_image(mount);
  if (!image) {
    std::filesystem::remove_all(root);
    GTEST_SKIP() << "/tmp is in memory";
  }
  asio::io_context context;
  const auto make = [&] {
    auto future = asio::co_spawn(context, make_empty_dir_image(*image), asio::use_future);
    context.restart();
    context.run();
    future.get();
  };
  make();
  {
    const device::DiskFile disk = device::open_disk(*image, device::Access::kReadWrite);
    EXPECT_EQ(device::check_filesystem(disk, *image, ""), "ext4");
  }
  struct stat before{}, after{};
  ASSERT_EQ(::stat(image->c_str(), &before), 0);
  make();
  ASSERT_EQ(::stat(image->c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_FALSE(std::filesystem::exists(*image + ".part"));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace kata::volume
