// The plan: its encoding, and what specs become. Nothing here touches the kernel.
#include "guest/container/plan.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <sched.h>

#include "guest/container/control.h"
#include "guest/container/mount_plan.h"
#include "guest/container/names.h"
#include "guest/container/plan_builder.h"

namespace kata::container {
namespace {

LaunchSpec simple_launch() {
  LaunchSpec launch;
  launch.id = "c1";
  launch.rootfs = "/r";
  launch.bundle = "/b";
  launch.spec.process.emplace().args = {"true"};
  launch.spec.linux_config.emplace();
  return launch;
}

TEST(PlanTest, RoundTrip) {
  LaunchSpec launch = simple_launch();
  launch.spec.hooks.create_container = {{.path = "/h", .args = {"a", "b"}, .env = {"E=1"}, .timeout = 5}};
  launch.spec.linux_config->sysctl = {{"net.ipv4.ip_forward", "1"}};
  launch.spec.process->rlimits = {{.type = "RLIMIT_NOFILE", .hard = 2, .soft = 1}};
  launch.spec.process->oom_score_adj = -5;
  launch.spec.process->user.umask = 022;
  launch.spec.mounts = {{.destination = "/x",
                         .source = "/y",
                         .type = "bind",
                         .options = {"rbind", "ro"},
                         .uid_mappings = {},
                         .gid_mappings = {}}};
  const InitPlan plan = plan_container(launch, {{"pids", "/sys/fs/cgroup/pids/c1"}}).plan;
  const std::string bytes = encode_plan(plan);
  const auto copy = decode_plan(bytes);
  ASSERT_TRUE(copy);
  EXPECT_EQ(encode_plan(*copy), bytes);
  EXPECT_EQ(copy->process.args, plan.process.args);
  EXPECT_EQ(copy->process.oom_score_adj, -5);
  EXPECT_EQ(copy->process.umask, 022U);
  EXPECT_EQ(copy->container->sysctl.at(0).first, "net/ipv4/ip_forward");
  EXPECT_EQ(copy->container->create_container_hooks.at(0).timeout, 5);
  EXPECT_EQ(copy->container->mounts.at(0).flags, static_cast<uint64_t>(MS_BIND | MS_REC | MS_RDONLY));
}

TEST(PlanTest, DamagedBytesAreRefused) {
  const std::string bytes = encode_plan(plan_container(simple_launch(), {}).plan);
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_plan(bytes.substr(0, size))) << size;
  EXPECT_FALSE(decode_plan(bytes + "x"));
  EXPECT_FALSE(decode_plan(std::string(64, '\xff')));
}

TEST(PlanTest, Namespaces) {
  LaunchSpec launch = simple_launch();
  launch.spec.linux_config->namespaces = {{.type = "pid", .path = "/proc/7/ns/pid"},
                                          {.type = "ipc", .path = "/run/ipc"},
                                          {.type = "uts", .path = ""},
                                          {.type = "cgroup", .path = ""},
                                          {.type = "network", .path = ""}};
  const PlannedContainer planned = plan_container(launch, {});
  EXPECT_EQ(planned.clone_flags, static_cast<uint64_t>(CLONE_NEWNS | CLONE_NEWUTS));
  EXPECT_EQ(planned.pid_namespace, "/proc/7/ns/pid");
  ASSERT_EQ(planned.plan.joins.size(), 1U);
  EXPECT_EQ(planned.plan.joins[0].path, "/run/ipc");
  EXPECT_EQ(planned.plan.unshare, static_cast<uint64_t>(CLONE_NEWCGROUP));
}

TEST(PlanTest, SysctlKeys) {
  LaunchSpec launch = simple_launch();
  launch.spec.linux_config->sysctl = {{"net.ipv4.conf.eth0/1.forwarding", "1"},
                                      {"net/ipv4/conf/eth0.1/mtu", "2"}};
  const auto plan = plan_container(launch, {}).plan;
  EXPECT_EQ(plan.container->sysctl.at(0).first, "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(plan.container->sysctl.at(1).first, "net/ipv4/conf/eth0.1/mtu");
}

TEST(PlanTest, ExecTakesTheContainersRights) {
  oci::Spec spec = simple_launch().spec;
  spec.process->capabilities.emplace().bounding = {"CAP_CHOWN"};
  oci::Process process;
  process.args = {"true"};
  EXPECT_EQ(plan_exec(spec, process).process.capabilities->bounding, 1U);
  process.capabilities.emplace().bounding = {"CAP_KILL"};
  EXPECT_EQ(plan_exec(spec, process).process.capabilities->bounding, 1U << 5);
}

TEST(PlanTest, DevicesHaveDefaults) {
  LaunchSpec launch = simple_launch();
  launch.spec.linux_config->devices = {oci::Device{"/dev/null", "c", 1, 3, 0600, 7, {}},
                                       oci::Device{"/dev/no-such-device", "b", 9, 9, 0, {}, {}}};
  const auto plan = plan_container(launch, {}).plan;
  ASSERT_EQ(plan.container->devices.size(), 7U);
  EXPECT_EQ(plan.container->devices[0].mode, static_cast<uint32_t>(S_IFCHR | 0600));
  EXPECT_EQ(plan.container->devices[0].uid, 7U);
  EXPECT_EQ(plan.container->devices[1].mode, static_cast<uint32_t>(S_IFBLK | 0666));
}

TEST(PlanTest, MountsOfOddTypes) {
  const auto plan = [](const char* type, std::vector<std::string> options) {
    return plan_mounts({{.destination = "a/../b//c/.",
                         .source = "/s",
                         .type = type,
                         .options = std::move(options),
                         .uid_mappings = {},
                         .gid_mappings = {}}},
                       true)
        .at(0);
  };
  EXPECT_EQ(plan("tmpfs", {}).target, "/b/c");
  for (const char* type : {"local", "none", "", "cgroup"}) {
    EXPECT_NE(plan(type, {"rbind"}).flags & MS_BIND, 0U) << type;
    EXPECT_EQ(plan(type, {"rbind"}).cgroup, CgroupView::kNone) << type;
  }
  EXPECT_EQ(plan("cgroup", {}).cgroup, CgroupView::kUnified);
  EXPECT_EQ(plan("cgroup2", {}).cgroup, CgroupView::kUnified);
}

TEST(NamesTest, CpuLists) {
  EXPECT_EQ(cpu_list("0-2,5"), (std::vector<uint32_t>{0, 1, 2, 5}));
  EXPECT_TRUE(cpu_list("").empty());
  EXPECT_TRUE(cpu_list("3-1").empty());
  for (const char* bad : {"x", "1-", "-1", "1,,2", "1024", "0-99999999999", "1 "})
    EXPECT_THROW(cpu_list(bad), Error) << bad;
}

TEST(NamesTest, Capabilities) {
  EXPECT_EQ(capability_bits({"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}), 1U | (uint64_t{1} << 40));
  for (const char* bad : {"", "CAP_", "CHOWN", "cap_chown", "CAP_CHOWN "})
    EXPECT_THROW(capability_bits({bad}), Error) << bad;
}

TEST(NamesTest, IoPriority) {
  EXPECT_EQ(io_priority("IOPRIO_CLASS_IDLE", 0), 3U << 13);
  EXPECT_THROW(io_priority("IOPRIO_CLASS_BE", -1), Error);
  EXPECT_THROW(io_priority("x", 1), Error);
}

TEST(ControlTest, ErrorsTravel) {
  const Error error = decode_error(encode_error(Error(Code::kNotFound, "no such thing")));
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.message(), "no such thing");
  for (const char* bad : {"", "x", "5", "0 a", "17 a", "99999999999 a", "-1 a"})
    EXPECT_EQ(decode_error(bad).code(), Code::kInternal) << bad;
}

TEST(HookStateTest, IsJson) {
  LaunchSpec launch = simple_launch();
  launch.spec.annotations = {{"k\"1", "v\n2"}, {"k2", ""}};
  EXPECT_EQ(
      hook_state(launch, "running", 42),
      R"({"ociVersion":"1.0.2","id":"c1","status":"running","pid":42,"bundle":"/b","annotations":{"k\"1":"v\u000a2","k2":""}})");
}

}  // namespace
}  // namespace kata::container
