#include "guest/boot/first_stage.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::boot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kVerity =
    "dm-mod.create=\"dm-verity,,,ro,0 800 verity 1 /dev/vda1 /dev/vda2 4096 4096 100 0 sha256 ab cd\" ";

TEST(FirstStage, PlainRoot) {
  const auto plan = parse_root(
      "quiet root=/dev/pmem0p1 rootflags=dax,data=ordered,errors=remount-ro ro rootfstype=ext4 "
      "agent.log=info\n");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->device, "/dev/pmem0p1");
  EXPECT_EQ(plan->options, "dax,data=ordered,errors=remount-ro");
  EXPECT_EQ(plan->fstype, "ext4");
  EXPECT_EQ(plan->init, "/sbin/init");
  EXPECT_TRUE(plan->readonly);
  EXPECT_FALSE(plan->verity);
  EXPECT_THAT(plan->needs(), ElementsAre("root:pmem", "fs:ext4"));
}

TEST(FirstStage, VerifiedRoot) {
  const auto plan = parse_root(kVerity + "root=/dev/dm-0 rootflags=ro rootfstype=erofs init=/sbin/other rw");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->device, "/dev/dm-0");
  EXPECT_EQ(plan->init, "/sbin/other");
  EXPECT_FALSE(plan->readonly) << "the later of two words wins";
  ASSERT_TRUE(plan->verity);
  EXPECT_EQ(plan->verity->name, "dm-verity");
  EXPECT_EQ(plan->verity->target.sectors, 800U);
  EXPECT_EQ(plan->verity->target.parameters, "1 /dev/vda1 /dev/vda2 4096 4096 100 0 sha256 ab cd");
  EXPECT_THAT(plan->verity->parts, ElementsAre("/dev/vda1", "/dev/vda2"));
  EXPECT_THAT(plan->needs(), ElementsAre("root:virtio-blk", "dm:verity", "fs:erofs"));
}

TEST(FirstStage, Refused) {
  const std::string rest = " root=/dev/vda1 rootfstype=ext4";
  const auto created = [&](const std::string& text) { return "dm-mod.create=\"" + text + "\"" + rest; };
  const struct Row {
    std::string name, line, says;
  } rows[] = {
      {"nothing", "", "root= names no device"},
      {"root by uuid", "root=UUID=1234 rootfstype=ext4", "root=UUID=1234 names no device"},
      {"no file system", "root=/dev/vda1", "rootfstype= names no file system"},
      {"file system with a path", "root=/dev/vda1 rootfstype=../x", "rootfstype="},
      {"init without a path", "root=/dev/vda1 rootfstype=ext4 init=sh", "init=sh is no absolute path"},
      {"verity empty", created(""), "no single dm-verity device"},
      {"verity without a table", created("v,,,ro"), "no single dm-verity device"},
      {"another target", created("v,,,ro,0 8 linear /dev/vda1 0"), "no single dm-verity device"},
      {"two devices", created("v,,,ro,0 8 verity 1 /dev/a /dev/b 1;w,,,ro,0 8 verity 1 /dev/a /dev/b 1"),
       "no single dm-verity device"},
      {"sectors no number", created("v,,,ro,0 8x verity 1 /dev/a /dev/b 1"), "no single dm-verity device"},
      {"no sectors", created("v,,,ro,0 0 verity 1 /dev/a /dev/b 1"), "no single dm-verity device"},
      {"parts elsewhere", created("v,,,ro,0 8 verity 1 /etc/a /dev/b 1"), "no single dm-verity device"},
      {"name too long", created(std::string(200, 'v') + ",,,ro,0 8 verity 1 /dev/a /dev/b 1"), "dm-verity"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto plan = parse_root(row.line);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(plan.error().message(), HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace kata::boot
