// What a process may do: user, capabilities, filters, limits. Mostly seen by effect.
#include <filesystem>
#include <sys/resource.h>

#include "guest/container/testing/box.h"

namespace kata::container {
namespace {

class RightsTest : public BoxTest {};

oci::SeccompSyscall rule(std::vector<std::string> names, const char* action,
                         std::optional<uint32_t> errno_ret = {}) {
  return {.names = std::move(names), .action = action, .errno_ret = errno_ret, .args = {}};
}

TEST_F(RightsTest, UserGroupsAndUmask) {
  auto launch = shell("id -u; id -g; id -G; umask; touch /tmp/f; stat -c %u:%g:%a /tmp/f");
  launch.spec.mounts.push_back({.destination = "/tmp",
                                .source = "tmpfs",
                                .type = "tmpfs",
                                .options = {"mode=1777"},
                                .uid_mappings = {},
                                .gid_mappings = {}});
  launch.spec.process->user = {
      .uid = 1000, .gid = 1000, .umask = 0027, .additional_gids = {5, 6}, .username = ""};
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "1000\n1000\n1000 5 6\n0027\n1000:1000:640\n") << output.err;
}

TEST_F(RightsTest, StreamsCanBeOpenedAgainByTheUser) {
  auto launch = shell("echo again > /dev/stdout; echo err > /dev/stderr");
  launch.spec.process->user.uid = 1000;
  launch.spec.process->capabilities.emplace();
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "again\n");
  EXPECT_EQ(output.err, "err\n");
}

TEST_F(RightsTest, CapabilitySets) {
  auto launch = shell("grep Cap /proc/self/status");
  launch.spec.process->capabilities = oci::Capabilities{.bounding = {"CAP_CHOWN", "CAP_NET_RAW", "CAP_KILL"},
                                                        .effective = {"CAP_CHOWN", "CAP_NET_RAW"},
                                                        .inheritable = {"CAP_NET_RAW"},
                                                        .permitted = {"CAP_CHOWN", "CAP_NET_RAW"},
                                                        .ambient = {"CAP_NET_RAW"}};
  launch.spec.process->user.uid = 1000;
  // A user without a file capability keeps the ambient set over exec.
  EXPECT_EQ(run_container(launch).out,
            "CapInh:\t0000000000002000\nCapPrm:\t0000000000002000\nCapEff:\t0000000000002000\n"
            "CapBnd:\t0000000000002021\nCapAmb:\t0000000000002000\n");
}

TEST_F(RightsTest, CapabilitiesByEffect) {
  auto launch = shell("mount -t tmpfs none /tmp && echo mounted; mknod /tmp/n c 1 3 && echo made");
  Output output = run_container(launch);
  EXPECT_EQ(output.out, "made\n") << output.err;
  launch = shell("mount -t tmpfs none /tmp && echo mounted");
  launch.spec.process->capabilities->bounding.emplace_back("CAP_SYS_ADMIN");
  launch.spec.process->capabilities->permitted.emplace_back("CAP_SYS_ADMIN");
  launch.spec.process->capabilities->effective.emplace_back("CAP_SYS_ADMIN");
  EXPECT_EQ(run_container(launch).out, "mounted\n");
}

TEST_F(RightsTest, NoCapabilitiesMeansNone) {
  auto launch = shell("grep CapEff /proc/self/status");
  launch.spec.process->capabilities.reset();
  EXPECT_EQ(run_container(launch).out, "CapEff:\t0000000000000000\n");
}

TEST_F(RightsTest, NoNewPrivileges) {
  auto launch = shell("grep NoNewPrivs /proc/self/status");
  EXPECT_EQ(run_container(launch).out, "NoNewPrivs:\t1\n");
  launch.spec.process->no_new_privileges = false;
  EXPECT_EQ(run_container(launch).out, "NoNewPrivs:\t0\n");
}

TEST_F(RightsTest, SeccompByEffect) {
  for (const bool no_new_privileges : {true, false}) {
    auto launch =
        shell("mkdir /tmp/dir; chmod 700 /tmp || echo chmod; grep -E '^(Seccomp|CapEff)' /proc/self/status");
    launch.spec.process->no_new_privileges = no_new_privileges;
    oci::Seccomp& profile = launch.spec.linux_config->seccomp.emplace();
    profile.default_action = "SCMP_ACT_ALLOW";
    profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"};
    profile.syscalls = {rule({"mkdir", "mkdirat", "no_such_call"}, "SCMP_ACT_ERRNO", 38),
                        rule({"chmod", "fchmodat", "fchmodat2"}, "SCMP_ACT_ERRNO")};
    const Output output = run_container(launch);
    EXPECT_NE(output.err.find("Function not implemented"), std::string::npos) << output.err;
    EXPECT_NE(output.err.find("Operation not permitted"), std::string::npos) << output.err;
    EXPECT_TRUE(output.out.starts_with("chmod\nCapEff:\t00000000a80425f")) << output.out;
    EXPECT_NE(output.out.find("Seccomp:\t2"), std::string::npos) << output.out;
  }
}

TEST_F(RightsTest, SeccompKillAndConditions) {
  auto launch = shell("mkdir /tmp/a; echo $?; mkdir -p /tmp/b; touch /tmp/c; echo $?");
  oci::Seccomp& profile = launch.spec.linux_config->seccomp.emplace();
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.syscalls = {rule({"mkdir", "mkdirat"}, "SCMP_ACT_KILL_PROCESS")};
  EXPECT_EQ(run_container(launch).out, "159\n0\n");

  // Only one value of one argument is refused, or one of two.
  launch = shell("for n in 0 18 17; do kill -$n $$ 2>/dev/null; echo $?; done");
  launch.spec.linux_config->seccomp.emplace().default_action = "SCMP_ACT_ALLOW";
  oci::SeccompSyscall conditional = rule({"kill"}, "SCMP_ACT_ERRNO", 5);
  conditional.args = {{.index = 1, .value = 18, .value_two = 0, .op = "SCMP_CMP_EQ"}};
  launch.spec.linux_config->seccomp->syscalls = {conditional};
  EXPECT_EQ(run_container(launch).out, "0\n1\n0\n");
  launch.spec.linux_config->seccomp->syscalls[0].args.push_back(
      {.index = 1, .value = 17, .value_two = 0, .op = "SCMP_CMP_EQ"});
  EXPECT_EQ(run_container(launch).out, "0\n1\n1\n");
}

// A filter that allows little: the stage itself needs nothing but execve after it.
TEST_F(RightsTest, SeccompAllowList) {
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "the sanitizer's execve makes calls of its own";
#endif
  auto launch = spec({"true"});
  oci::Seccomp& profile = launch.spec.linux_config->seccomp.emplace();
  profile.default_action = "SCMP_ACT_KILL_PROCESS";
  profile.syscalls = {
      rule({"execve",    "brk",        "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
            "prlimit64", "readlink",   "readlinkat", "getrandom",       "mprotect",        "prctl",
            "getuid",    "exit_group", "mmap",       "munmap",          "setgid",          "setuid",
            "getgid",    "uname",      "fstat",      "newfstatat"},
           "SCMP_ACT_ALLOW")};
  EXPECT_EQ(run_container(launch).code, 0);
}

TEST_F(RightsTest, SeccompRefusals) {
  const struct {
    const char* what;
    std::function<void(oci::Seccomp&)> change;
    Code code;
  } rows[] = {
      {"action", [](auto& p) { p.default_action = "SCMP_ACT_NONSENSE"; }, Code::kInvalidArgument},
      {"action", [](auto& p) { p.syscalls = {rule({"read"}, "SCMP")}; }, Code::kInvalidArgument},
      {"operator",
       [](auto& p) {
         p.syscalls = {rule({"read"}, "SCMP_ACT_ERRNO")};
         p.syscalls[0].args = {{.index = 0, .value = 1, .value_two = 0, .op = "EQ"}};
       },
       Code::kInvalidArgument},
      {"index",
       [](auto& p) {
         p.syscalls = {rule({"read"}, "SCMP_ACT_ERRNO")};
         p.syscalls[0].args = {{.index = 6, .value = 1, .value_two = 0, .op = "SCMP_CMP_EQ"}};
       },
       Code::kInvalidArgument},
      {"architecture", [](auto& p) { p.architectures = {"SCMP_ARCH_Z80"}; }, Code::kInvalidArgument},
      {"flag", [](auto& p) { p.flags = {"SECCOMP_FILTER_FLAG_X"}; }, Code::kInvalidArgument},
      {"SCMP_ACT_NOTIFY", [](auto& p) { p.syscalls = {rule({"read"}, "SCMP_ACT_NOTIFY")}; },
       Code::kUnimplemented},
      {"listener", [](auto& p) { p.listener_path = "/run/x.sock"; }, Code::kUnimplemented},
  };
  for (const auto& row : rows) {
    auto launch = spec({"true"});
    oci::Seccomp& profile = launch.spec.linux_config->seccomp.emplace();
    profile.default_action = "SCMP_ACT_ALLOW";
    row.change(profile);
    Code code{};
    const std::string message = create_error(launch, &code);
    EXPECT_NE(message.find(row.what), std::string::npos) << message;
    EXPECT_EQ(code, row.code) << message;
  }
}

TEST_F(RightsTest, ResourceLimits) {
  auto launch = shell("ulimit -n; ulimit -Hn; dd if=/dev/zero of=/tmp/f bs=1k count=100; echo $?");
  launch.spec.process->rlimits = {{.type = "RLIMIT_NOFILE", .hard = 100, .soft = 50},
                                  {.type = "RLIMIT_FSIZE", .hard = 4096, .soft = 4096}};
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "50\n100\n153\n") << output.err;
}

TEST_F(RightsTest, WrongWords) {
  const struct {
    const char* what;
    std::function<void(oci::Spec&)> change;
  } rows[] = {
      {"RLIMIT_NOPE", [](auto& s) { s.process->rlimits = {{.type = "RLIMIT_NOPE", .hard = 1, .soft = 1}}; }},
      {"soft limit above",
       [](auto& s) { s.process->rlimits = {{.type = "RLIMIT_CORE", .hard = 1, .soft = 2}}; }},
      {"CAP_NONSENSE", [](auto& s) { s.process->capabilities->ambient = {"CAP_NONSENSE"}; }},
      {"chown", [](auto& s) { s.process->capabilities->ambient = {"chown"}; }},
      {"process.cwd", [](auto& s) { s.process->cwd = "relative"; }},
      {"namespace type", [](auto& s) { s.linux_config->namespaces.push_back({.type = "moon", .path = ""}); }},
      {"listed twice", [](auto& s) { s.linux_config->namespaces.push_back({.type = "pid", .path = ""}); }},
      {"rootfsPropagation", [](auto& s) { s.linux_config->rootfs_propagation = "sideways"; }},
      {"linux.devices",
       [](auto& s) { s.linux_config->devices = {oci::Device{"/dev/x", "z", 1, 1, {}, {}, {}}}; }},
      {"impossible number",
       [](auto& s) { s.linux_config->devices = {oci::Device{"/dev/x", "c", -1, 1, {}, {}, {}}}; }},
      {"maskedPaths", [](auto& s) { s.linux_config->masked_paths = {"proc"}; }},
      {"sysctl", [](auto& s) { s.linux_config->sysctl = {{"../../x", "1"}}; }},
      {"cgroupsPath", [](auto& s) { s.linux_config->cgroups_path = "/a/../../b"; }},
      {"personality", [](auto& s) { s.linux_config->personality = "PER_MOON"; }},
      {"timeOffsets", [](auto& s) { s.linux_config->time_offsets = {{"monotonic", {.secs = 1}}}; }},
      {"scheduler", [](auto& s) { s.process->scheduler.emplace().policy = "SCHED_MOON"; }},
      {"ioPriority",
       [](auto& s) {
         s.process->io_priority = oci::IoPriority{.io_class = "IOPRIO_CLASS_BE", .priority = 8};
       }},
      {"CPU list", [](auto& s) { s.process->exec_cpu_affinity_final = "1-x"; }},
      {"zero byte", [](auto& s) { s.process->args = {std::string("a\0b", 3)}; }},
      {"no process", [](auto& s) { s.process.reset(); }},
  };
  for (const auto& row : rows) {
    auto launch = spec({"true"});
    row.change(launch.spec);
    Code code{};
    const std::string message = create_error(launch, &code);
    EXPECT_NE(message.find(row.what), std::string::npos) << row.what << ": " << message;
    EXPECT_EQ(code, Code::kInvalidArgument) << message;
  }
}

TEST_F(RightsTest, LabelsNeedTheirModule) {
  auto launch = spec({"true"});
  launch.spec.process->apparmor_profile = "some-profile";
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("AppArmor"), std::string::npos);
  EXPECT_EQ(code, Code::kFailedPrecondition);
  launch.spec.process->apparmor_profile.clear();
  launch.spec.process->selinux_label = "system_u:system_r:container_t:s0";
  EXPECT_NE(create_error(launch, &code).find("SELinux"), std::string::npos);
  launch.spec.process->selinux_label.clear();
  launch.spec.linux_config->mount_label = "system_u:object_r:container_file_t:s0";
  EXPECT_NE(create_error(launch, &code).find("SELinux"), std::string::npos);
  launch.spec.linux_config->mount_label.clear();
  launch.spec.linux_config->intel_rdt.emplace();
  EXPECT_NE(create_error(launch, &code).find("intelRdt"), std::string::npos);
}

TEST_F(RightsTest, SchedulingAndPersonality) {
  auto launch = shell("cut -d' ' -f19 /proc/self/stat; uname -m; grep Cpus_allowed_list /proc/self/status");
  launch.spec.process->scheduler =
      oci::Scheduler{.policy = "SCHED_BATCH", .nice = 5, .priority = 0, .flags = {}};
  launch.spec.process->io_priority = oci::IoPriority{.io_class = "IOPRIO_CLASS_BE", .priority = 6};
  launch.spec.process->exec_cpu_affinity_final = "0";
  launch.spec.linux_config->personality = "PER_LINUX32";
  std::string expected = "5\ni686\nCpus_allowed_list:\t0\n";
  std::filesystem::create_symlink("busybox", rootfs() + "/bin/uname");
  std::filesystem::create_symlink("busybox", rootfs() + "/bin/cut");
  const Output output = run_container(launch);
  if (output.out.find("i686") == std::string::npos) GTEST_SKIP() << "another architecture: " << output.out;
  EXPECT_EQ(output.out, expected) << output.err;
}

TEST_F(RightsTest, OomScoreIsSetOrOnlyAWarning) {
  auto launch = shell("cat /proc/self/oom_score_adj");
  launch.spec.process->oom_score_adj = 500;
  EXPECT_EQ(run_container(launch).out, "500\n");
  launch.spec.process->oom_score_adj = -1000;
  EXPECT_EQ(run_container(launch).code, 0);
}

TEST_F(RightsTest, NamesAndKernelSettings) {
  auto launch = shell(
      "hostname; cat /proc/sys/kernel/domainname /proc/sys/kernel/msgmax; cat /proc/self/cgroup | head -1");
  launch.spec.hostname = "my-box";
  launch.spec.domainname = "my.domain";
  launch.spec.linux_config->sysctl = {{"kernel.msgmax", "5000"}};
  const Output output = run_container(launch);
  EXPECT_TRUE(output.out.starts_with("my-box\nmy.domain\n5000\n")) << output.out << output.err;
  EXPECT_TRUE(output.out.ends_with(":/\n")) << output.out;
  launch.spec.linux_config->sysctl = {{"kernel.no_such_key", "1"}};
  EXPECT_NE(create_error(launch).find("kernel/no_such_key"), std::string::npos);
}

TEST_F(RightsTest, TimeNamespace) {
  auto launch = shell("cat /proc/uptime");
  launch.spec.linux_config->namespaces.push_back({.type = "time", .path = ""});
  launch.spec.linux_config->time_offsets = {{"boottime", {.secs = 1000000000, .nanosecs = 0}}};
  const Output output = run_container(launch);
  EXPECT_GE(std::stod(output.out), 1e9) << output.err;
}

}  // namespace
}  // namespace kata::container
