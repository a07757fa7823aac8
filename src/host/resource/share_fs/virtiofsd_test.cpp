#include "host/resource/share_fs/virtiofsd.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::share_fs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct CommandRow {
  const char* name;
  Flavour flavour;
  void (*change)(VirtiofsdOptions& options);
  std::vector<std::string> expected;
};

TEST(VirtiofsdCommandTest, GoldenLines) {
  const std::vector<CommandRow> rows = {
      {"C, defaults",
       Flavour::kC,
       [](VirtiofsdOptions&) {},
       {"/v", "--fd=5", "-f", "-o", "source=/s", "-o", "cache=auto", "-o", "log_level=warn"}},
      {"C, cache never is none",
       Flavour::kC,
       [](VirtiofsdOptions& o) { o.cache = "never"; },
       {"/v", "--fd=5", "-f", "-o", "source=/s", "-o", "cache=none", "-o", "log_level=warn"}},
      {"C, limit and extra arguments",
       Flavour::kC,
       [](VirtiofsdOptions& o) {
         o.nofile = 20000;
         o.extra_args = {"--thread-pool-size=1", "-o", "announce_submounts"};
       },
       {"/v", "--fd=5", "-f", "-o", "source=/s", "-o", "cache=auto", "-o", "log_level=warn",
        "--rlimit-nofile=20000", "--thread-pool-size=1", "-o", "announce_submounts"}},
      {"C, debug",
       Flavour::kC,
       [](VirtiofsdOptions& o) { o.verbosity = VirtiofsdOptions::Verbosity::kDebug; },
       {"/v", "--fd=5", "-f", "-o", "source=/s", "-o", "cache=auto", "-o", "log_level=info"}},
      {"Rust, defaults",
       Flavour::kRust,
       [](VirtiofsdOptions&) {},
       {"/v", "--fd=5", "--shared-dir", "/s", "--cache", "auto", "--log-level", "warn"}},
      {"Rust, everything",
       Flavour::kRust,
       [](VirtiofsdOptions& o) {
         o.cache = "never";
         o.nofile = 20000;
         o.extra_args = {"--announce-submounts"};
         o.verbosity = VirtiofsdOptions::Verbosity::kDebug;
       },
       {"/v", "--fd=5", "--shared-dir", "/s", "--cache", "never", "--log-level", "info",
        "--rlimit-nofile=20000", "--announce-submounts"}},
  };
  for (const CommandRow& row : rows) {
    SCOPED_TRACE(row.name);
    VirtiofsdOptions options;
    options.program = "/v";
    options.shared_dir = "/s";
    options.listen_fd = 5;
    row.change(options);
    EXPECT_EQ(virtiofsd_command(row.flavour, options), row.expected);
  }
}

TEST(VirtiofsdFlavourTest, ReadsVersions) {
  struct Row {
    const char* name;
    const char* text;
    std::optional<Flavour> expected;
  };
  for (const Row& row :
       {Row{"Debian 12", "virtiofsd version 7.2.22 (Debian 1:7.2)\nCopyright", Flavour::kC},
        Row{"Debian 13", "virtiofsd 1.13.2\n", Flavour::kRust},
        Row{"a warning first", "[WARN virtiofsd::x] hello\nvirtiofsd 1.10.0\n", Flavour::kRust},
        Row{"nydusd", "Version: \tv2.2.3\n", std::nullopt}, Row{"nothing", "", std::nullopt},
        Row{"the name only", "virtiofsd ", std::nullopt}}) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(flavour_of_version(row.text), row.expected);
  }
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

TEST(VirtiofsdPlaceTest, ConfiguredElseTheFirstThatIsThere) {
  const std::string present = testing::TempDir() + "/virtiofsd-" + std::to_string(::getpid());
  write_file(present, "");
  EXPECT_EQ(find_virtiofsd(present, {}), present);
  EXPECT_EQ(find_virtiofsd("", {"/nonexistent/a", present}), present);
  EXPECT_THAT(message_of([] { find_virtiofsd("/nonexistent/v", {}); }),
              "virtiofsd /nonexistent/v not found (hypervisor.qemu.virtio_fs_daemon)");
  EXPECT_THAT(message_of([] { find_virtiofsd("", {"/nonexistent/a", "/nonexistent/b"}); }),
              HasSubstr("/nonexistent/a, /nonexistent/b"));
  ::unlink(present.c_str());
}

}  // namespace
}  // namespace kata::share_fs
