#include "host/resource/volume/direct_volume.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/fd/io.h"

namespace kata::volume {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(DirectVolume, Description) {
  const auto volume = parse_mount_info(
      R"({"volume-type":"directvol","device":"/dev/sdb","fstype":"ext4","metadata":{"fsGroup":"1000"},"options":["noatime"]})");
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->device, "/dev/sdb");
  EXPECT_EQ(volume->fstype, "ext4");
  EXPECT_EQ(volume->fs_group, 1000U);
  EXPECT_THAT(volume->options, ElementsAre("noatime"));
  EXPECT_TRUE(parse_mount_info(
      R"({"volume-type":"blk","device":"/d","fstype":"ext4","metadata":null,"options":null})"));
}

TEST(DirectVolume, BadDescriptionsAreRefused) {
  struct Row {
    const char *name, *text;
    Code code;
    const char* words;
  };
  for (const Row& row :
       {Row{"broken", "{\"volume-type\":", Code::kInvalidArgument, "no JSON object"},
        Row{"empty", "", Code::kInvalidArgument, "no JSON object"},
        Row{"list", "[]", Code::kInvalidArgument, "no JSON object"},
        Row{"no type", R"({"device":"/d","fstype":"x"})", Code::kInvalidArgument, "volume-type is missing"},
        Row{"no device", R"({"volume-type":"directvol","fstype":"x"})", Code::kInvalidArgument,
            "device is missing"},
        Row{"no fstype", R"({"volume-type":"directvol","device":"/d"})", Code::kInvalidArgument,
            "fstype is missing"},
        Row{"empty device", R"({"volume-type":"directvol","device":"","fstype":"x"})", Code::kInvalidArgument,
            "device is empty"},
        Row{"device is a number", R"({"volume-type":"directvol","device":7,"fstype":"x"})",
            Code::kInvalidArgument, "device is missing"},
        Row{"unknown type", R"({"volume-type":"nfs","device":"/d","fstype":"x"})", Code::kInvalidArgument,
            "\"nfs\""},
        Row{"vfio", R"({"volume-type":"vfiovol","device":"/d","fstype":"x"})", Code::kUnimplemented,
            "vfiovol"},
        Row{"spdk", R"({"volume-type":"spdkvol","device":"/d","fstype":"x"})", Code::kUnimplemented,
            "spdkvol"},
        Row{"spool", R"({"volume-type":"spoolvol","device":"/d","fstype":"x"})", Code::kUnimplemented,
            "spoolvol"},
        Row{"options", R"({"volume-type":"directvol","device":"/d","fstype":"x","options":"ro"})",
            Code::kInvalidArgument, "options is no list"},
        Row{"an option", R"({"volume-type":"directvol","device":"/d","fstype":"x","options":[1]})",
            Code::kInvalidArgument, "no text"},
        Row{"group", R"({"volume-type":"directvol","device":"/d","fstype":"x","metadata":{"fsGroup":"1x"}})",
            Code::kInvalidArgument, "fsGroup"}}) {
    const auto volume = parse_mount_info(row.text);
    ASSERT_FALSE(volume) << row.name;
    EXPECT_EQ(volume.error().code(), row.code) << row.name;
    EXPECT_THAT(volume.error().message(), HasSubstr(row.words)) << row.name;
  }
}

TEST(DirectVolume, FoundByTheNameOfTheMount) {
  char name[] = "/tmp/kata-direct-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string root = name;
  // base64 of "/volumes/a?"
  const std::string folder = root + "/L3ZvbHVtZXMvYT8=";
  std::filesystem::create_directory(folder);
  EXPECT_THROW(find_direct_volume("/volumes/a?", root), Error) << "a folder without a description";
  write_file(folder + "/mountInfo.json", R"({"volume-type":"directvol","device":"/d","fstype":"ext4"})");
  const auto volume = find_direct_volume("/volumes/a?", root);
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->device, "/d");
  EXPECT_FALSE(find_direct_volume("/volumes/b", root));
  EXPECT_FALSE(find_direct_volume(std::string(300, 'x'), root)) << "no folder can have its name";
  write_file(server_file(*volume, "sb1"), "");
  forget_server("sb1", root);
  EXPECT_FALSE(std::filesystem::exists(folder + "/sb1"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/mountInfo.json"));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace kata::volume
