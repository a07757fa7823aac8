#include "host/resource/rootfs/overlay_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/error/error.h"

namespace kata::rootfs {
namespace {

const std::string kSnapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/";
const std::string kTop = ",upperdir=" + kSnapshots + "999/fs,workdir=" + kSnapshots + "999/work,index=off";

// "0/fs:1/fs:..." with something before each.
std::string lower(const std::string& before, int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i == 0 ? "" : ":") + before + std::to_string(i) + "/fs";
  return list;
}

TEST(OverlayData, WhatFitsStays) {
  for (const std::string& data :
       {std::string("index=off"), "lowerdir=" + lower(kSnapshots, 3) + kTop, std::string(4095, 'x')}) {
    const OverlayData result = fit_overlay_data(data);
    EXPECT_EQ(result.folder, "");
    EXPECT_EQ(result.data, data);
  }
}

TEST(OverlayData, ManyLayersBecomeRelative) {
  const OverlayData result = fit_overlay_data("lowerdir=" + lower(kSnapshots, 128) + kTop);
  EXPECT_EQ(result.folder, kSnapshots);
  EXPECT_EQ(result.data, "lowerdir=" + lower("", 128) + kTop);
}

TEST(OverlayData, CommonFolderEndsAtASlash) {
  // All names begin with 1: that is no folder.
  const std::string snapshots = kSnapshots + "1";
  const OverlayData result = fit_overlay_data("index=off,lowerdir=" + lower(snapshots, 100));
  EXPECT_EQ(result.folder, kSnapshots);
  EXPECT_EQ(result.data, "index=off,lowerdir=" + lower("1", 100));
}

TEST(OverlayData, NothingInCommonButTheRoot) {
  const std::string far = "/" + std::string(2000, 'a') + "/fs", other = "/" + std::string(2000, 'b') + "/fs";
  const OverlayData result =
      fit_overlay_data("lowerdir=" + far + ":" + other + ",workdir=/" + std::string(68, 'c'));
  EXPECT_EQ(result.folder, "/");
  EXPECT_LE(result.data.size(), 4095U);
}

TEST(OverlayData, WhatCannotFitIsRefused) {
  struct Row {
    const char* name;
    std::string data;
  };
  const std::vector<Row> rows = {
      {"too many layers", "lowerdir=" + lower(kSnapshots, 2000)},
      {"relative paths", "lowerdir=" + lower("snapshots/of/somewhere/", 300)},
      {"escaped separator", "lowerdir=" + lower(kSnapshots + "a\\:b", 100)},
      {"another option is too long", "lowerdir=/a,x=" + std::string(5000, 'x')},
      {"empty lower folders", "lowerdir=,x=" + std::string(5000, 'x')},
  };
  for (const Row& row : rows) {
    try {
      fit_overlay_data(row.data);
      ADD_FAILURE() << row.name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << row.name;
      EXPECT_THAT(error.message(), testing::HasSubstr("too many layers")) << row.name;
    }
  }
}

}  // namespace
}  // namespace kata::rootfs
