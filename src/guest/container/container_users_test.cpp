// User namespaces and id-mapped mounts.
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <unistd.h>

#include "guest/container/testing/box.h"

namespace fs = std::filesystem;

namespace kata::container {
namespace {

constexpr uint32_t kBase = 200000;

class UsersTest : public BoxTest {
 protected:
  void SetUp() override {
    BoxTest::SetUp();
    if (IsSkipped()) return;
    // The root file system belongs to the container's root.
    for (const auto& entry : fs::recursive_directory_iterator(rootfs()))
      ASSERT_EQ(::lchown(entry.path().c_str(), kBase, kBase), 0);
    ASSERT_EQ(::chown(rootfs().c_str(), kBase, kBase), 0);
  }
  LaunchSpec mapped(const std::string& script) const {
    auto launch = shell(script);
    oci::Linux& config = *launch.spec.linux_config;
    config.namespaces.push_back({.type = "user", .path = ""});
    config.uid_mappings = {{.host_id = kBase, .container_id = 0, .size = 65536}};
    config.gid_mappings = config.uid_mappings;
    return launch;
  }
};

TEST_F(UsersTest, RootInsideIsNobodyOutside) {
  auto launch = mapped(
      "id -u; cat /proc/self/uid_map | tr -s ' '; touch /made; stat -c %u /bin/sh; cat "
      "/proc/self/oom_score_adj;"
      "hostname; echo x > /dev/null && grep CapEff /proc/self/status; grep CapAmb /proc/self/status");
  launch.spec.hostname = "users";
  launch.spec.process->oom_score_adj = 300;
  const Output output = run_container(launch);
  EXPECT_EQ(output.out,
            "0\n 0 200000 65536\n0\n300\nusers\nCapEff:\t00000000a80425fb\nCapAmb:\t0000000000000000\n")
      << output.err;
  struct stat info{};
  ASSERT_EQ(::stat((rootfs() + "/made").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kBase);
}

TEST_F(UsersTest, OtherUsersStreamsAndExec) {
  auto launch = mapped("id -u; echo again > /dev/stdout; sleep 1000");
  launch.spec.process->user.uid = 1000;
  launch.spec.process->user.gid = 1000;
  auto body = [](const cgroup::Hierarchy& where, LaunchSpec spec) -> Awaitable<Output> {
    const auto box = co_await Container::create(where, std::move(spec));
    co_await box->start();
    std::string text;
    while (text.size() < 11) {
      const std::string chunk = co_await box->init()->read_stdout(100);
      if (chunk.empty()) break;
      text += chunk;
    }
    EXPECT_EQ(text, "1000\nagain\n");
    oci::Process process = *box->spec().process;
    process.args = {"sh", "-c", "id -u; echo again > /dev/stdout; cat /proc/self/uid_map | tr -s ' '"};
    process.user.uid = 7;
    const auto second = co_await box->exec(std::move(process));
    Output output = co_await collect(second);
    co_await box->destroy();
    co_return output;
  };
  const Output output = drive(body(hierarchy(), std::move(launch)));
  EXPECT_EQ(output.out, "7\nagain\n 0 200000 65536\n") << output.err;
}

TEST_F(UsersTest, JoinsNamespacesOfOthers) {
  auto first = shell("sleep 1000");
  first.spec.hostname = "shared-name";
  auto body = [](const cgroup::Hierarchy& where, LaunchSpec spec, LaunchSpec second) -> Awaitable<Output> {
    const auto box = co_await Container::create(where, std::move(spec));
    const std::string folder = "/proc/" + std::to_string(box->init()->pid()) + "/ns/";
    for (auto& entry : second.spec.linux_config->namespaces) {
      if (entry.type == "ipc" || entry.type == "uts") entry.path = folder + entry.type;
    }
    const auto other = co_await Container::create(where, std::move(second));
    co_await other->start();
    Output output = co_await collect(other->init());
    co_await other->destroy();
    co_await box->destroy();
    co_return output;
  };
  const std::string before = fs::read_symlink("/proc/self/ns/uts").string();
  const Output output = drive(body(hierarchy(), std::move(first), mapped("hostname")));
  EXPECT_EQ(output.out, "shared-name\n") << output.err;
  EXPECT_EQ(fs::read_symlink("/proc/thread-self/ns/uts").string(), before);
}

TEST_F(UsersTest, TerminalInside) {
  auto launch = mapped("tty; id -u");
  launch.spec.process->terminal = true;
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "/dev/pts/0\r\n0\r\n");
}

TEST_F(UsersTest, EmptyMapsAreRefused) {
  auto launch = mapped("true");
  launch.spec.linux_config->uid_mappings.clear();
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("uidMappings"), std::string::npos);
  EXPECT_EQ(code, Code::kInvalidArgument);
}

TEST_F(UsersTest, IdMappedMounts) {
  const std::string source = folder() + "/data";
  fs::create_directories(source);
  std::ofstream(source + "/file") << "x\n";
  ASSERT_EQ(::chown((source + "/file").c_str(), 5, 6), 0);
  auto launch = shell("stat -c %u:%g /data/file");
  const oci::IdMapping shift{.host_id = 1005, .container_id = 5, .size = 10};
  launch.spec.mounts.push_back({.destination = "/data",
                                .source = source,
                                .type = "bind",
                                .options = {"rbind"},
                                .uid_mappings = {shift},
                                .gid_mappings = {shift}});
  EXPECT_EQ(run_container(launch).out, "1005:1006\n");
  // With a user namespace: what belongs to root on the disk belongs to the container's root.
  launch = mapped("stat -c %u:%g /data/file; touch /data/new; stat -c %u /data/new");
  ASSERT_EQ(::chown((source + "/file").c_str(), 0, 0), 0);
  launch.spec.mounts.push_back({.destination = "/data",
                                .source = source,
                                .type = "bind",
                                .options = {"rbind", "ridmap"},
                                .uid_mappings = {},
                                .gid_mappings = {}});
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "0:0\n0\n") << output.err;
  struct stat info{};
  ASSERT_EQ(::stat((source + "/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
}

TEST_F(UsersTest, OnlyBindMountsAreMapped) {
  auto launch = shell("true");
  const oci::IdMapping shift{.host_id = 1, .container_id = 0, .size = 10};
  launch.spec.mounts.push_back({.destination = "/data",
                                .source = "tmpfs",
                                .type = "tmpfs",
                                .options = {},
                                .uid_mappings = {shift},
                                .gid_mappings = {shift}});
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("bind mount only"), std::string::npos);
  EXPECT_EQ(code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::container
