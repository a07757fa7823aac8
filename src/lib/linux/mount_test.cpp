#include "lib/linux/mount.h"

#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <sys/wait.h>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

namespace kata::kernel {
namespace {

struct OptionRow {
  const char* name;
  std::vector<std::string> words;
  unsigned long flags, cleared, propagation, set, clear;
  std::string data;
  bool tmpcopyup;
};

class OptionTest : public testing::TestWithParam<OptionRow> {};

TEST_P(OptionTest, WordsBecomeFlags) {
  const OptionRow& row = GetParam();
  const MountOptions options = parse_mount_options(row.words);
  EXPECT_EQ(options.flags, row.flags);
  EXPECT_EQ(options.cleared, row.cleared);
  EXPECT_EQ(options.propagation, row.propagation);
  EXPECT_EQ(options.recursive_set, row.set);
  EXPECT_EQ(options.recursive_clear, row.clear);
  EXPECT_EQ(options.data, row.data);
  EXPECT_EQ(options.tmpcopyup, row.tmpcopyup);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, OptionTest,
    testing::Values(
        OptionRow{"none", {}, 0, 0, 0, 0, 0, "", false},
        OptionRow{"defaults", {"defaults", ""}, 0, 0, 0, 0, 0, "", false},
        OptionRow{"flags",
                  {"nosuid", "noexec", "nodev", "ro"},
                  MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY,
                  0,
                  0,
                  0,
                  0,
                  "",
                  false},
        OptionRow{"later_wins", {"ro", "rw"}, 0, MS_RDONLY, 0, 0, 0, "", false},
        OptionRow{"later_wins_back", {"rw", "ro"}, MS_RDONLY, 0, 0, 0, 0, "", false},
        OptionRow{"data_in_order",
                  {"mode=755", "nosuid", "size=64k"},
                  MS_NOSUID,
                  0,
                  0,
                  0,
                  0,
                  "mode=755,size=64k",
                  false},
        OptionRow{"bind", {"rbind", "rprivate"}, MS_BIND | MS_REC, 0, MS_PRIVATE | MS_REC, 0, 0, "", false},
        OptionRow{"propagation", {"shared", "rslave"}, 0, 0, MS_SLAVE | MS_REC, 0, 0, "", false},
        OptionRow{
            "recursive", {"rro", "rnosuid"}, 0, 0, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, "", false},
        OptionRow{"recursive_later_wins", {"rro", "rrw"}, 0, 0, 0, 0, MOUNT_ATTR_RDONLY, "", false},
        OptionRow{"recursive_atime",
                  {"rnoatime", "rstrictatime"},
                  0,
                  0,
                  0,
                  MOUNT_ATTR_STRICTATIME,
                  MOUNT_ATTR__ATIME,
                  "",
                  false},
        OptionRow{"copy_up", {"tmpcopyup"}, 0, 0, 0, 0, 0, "", true},
        OptionRow{"unknown_is_data", {"loop", "Ro"}, 0, 0, 0, 0, 0, "loop,Ro", false}),
    [](const auto& param) { return param.param.name; });

TEST(MountinfoTest, ReadsFieldsAndEscapes) {
  const auto entries = parse_mountinfo(
      "31 23 0:28 /r /a\\040b rw,relatime shared:1 master:2 - tmpfs src rw,mode=755\n\n"
      "32 31 253:1 / /x ro - ext4  rw\n");
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 2U);
  const MountEntry& first = entries->at(0);
  EXPECT_EQ(first.id, 31);
  EXPECT_EQ(first.parent, 23);
  EXPECT_EQ(first.major, 0U);
  EXPECT_EQ(first.minor, 28U);
  EXPECT_EQ(first.root, "/r");
  EXPECT_EQ(first.mount_point, "/a b");
  EXPECT_EQ(first.options, "rw,relatime");
  EXPECT_EQ(first.optional_fields, (std::vector<std::string>{"shared:1", "master:2"}));
  EXPECT_EQ(first.fstype, "tmpfs");
  EXPECT_EQ(first.source, "src");
  EXPECT_EQ(first.super_options, "rw,mode=755");
  EXPECT_EQ(entries->at(1).source, "");
  EXPECT_EQ(entries->at(1).super_options, "rw");
}

TEST(MountinfoTest, RefusesBrokenLines) {
  for (const char* text : {"x", "1 2", "1 2 3 / / rw - tmpfs t rw", "1 2 0:a / / rw - tmpfs t rw",
                           "1 2 0:1 / / rw shared:1", "99999999999 2 0:1 / / rw - t t rw"}) {
    const auto entries = parse_mountinfo(text);
    ASSERT_FALSE(entries) << text;
    EXPECT_EQ(entries.error().code(), Code::kInvalidArgument);
    EXPECT_NE(entries.error().message().find("line 1"), std::string::npos);
  }
}

TEST(MountinfoTest, ReadsThisProcess) {
  EXPECT_FALSE(mounts_below("/").empty());
  EXPECT_TRUE(mounts_below("/no/such/path").empty());
}

// Runs `body` in a child with its own mount namespace; its failures are the child's exit code.
void in_own_namespace(const std::function<bool()>& body) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const pid_t pid = ::fork();
  if (pid == 0) {
    bool good = ::unshare(CLONE_NEWNS) == 0;
    try {
      if (good) set_propagation("/", MS_PRIVATE | MS_REC);
      good = good && body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      good = false;
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(MountTest, BindsRemountsAndDetaches) {
  const auto folder = std::filesystem::temp_directory_path() / ("mount_test." + std::to_string(::getpid()));
  std::filesystem::create_directories(folder / "a");
  in_own_namespace([&] {
    mount("tmpfs", folder, "tmpfs", MS_NOSUID, "size=64k");
    std::filesystem::create_directories(folder / "b");
    bind_mount(folder / "b", folder / "b", BindDepth::kOne);
    remount_readonly(folder / "b");
    if (mounts_below(folder) != std::vector<std::string>{folder / "b", folder}) return false;
    if (std::ofstream(folder / "b" / "file")) return false;
    unmount_detach(folder / "b");
    unmount_detach(folder / "b");
    unmount_detach(folder / "none");
    unmount_detach(folder);
    return mounts_below(folder).empty();
  });
  std::filesystem::remove_all(folder);
}

TEST(MountTest, ErrorsNameTheMount) {
  in_own_namespace([] {
    try {
      mount("tmpfs", "/no/such/place", "tmpfs", 0, "");
    } catch (const Error& error) {
      return error.code() == Code::kNotFound &&
             error.message().starts_with("mounting tmpfs (tmpfs) on /no/such/place: ");
    }
    return false;
  });
}

}  // namespace
}  // namespace kata::kernel
