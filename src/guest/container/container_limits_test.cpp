// Limits and cgroups, by effect.
#include <csignal>
#include <filesystem>
#include <sys/time.h>

#include "guest/container/testing/box.h"
#include "lib/async/deadline.h"

namespace fs = std::filesystem;

namespace kata::container {
namespace {

class LimitsTest : public BoxTest {
 protected:
  std::shared_ptr<Container> running(const cgroup::Hierarchy& where, LaunchSpec launch) {
    auto body = [](const cgroup::Hierarchy& hierarchy,
                   LaunchSpec spec) -> Awaitable<std::shared_ptr<Container>> {
      auto container = co_await Container::create(hierarchy, std::move(spec));
      co_await container->start();
      co_return container;
    };
    return drive(body(where, std::move(launch)));
  }
  [[nodiscard]] bool has(const char* controller) const {
    return hierarchy().version == cgroup::Version::kV2 || hierarchy().controllers.contains(controller);
  }
  static oci::Resources& resources(LaunchSpec& launch) {
    return launch.spec.linux_config->resources.emplace();
  }
};

// The pure v2 hierarchy that a hybrid machine has beside v1.
class UnifiedTest : public LimitsTest {
 protected:
  void SetUp() override {
    LimitsTest::SetUp();
    if (IsSkipped()) return;
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      try {
        unified_ = cgroup::Hierarchy::detect(root);
      } catch (const Error&) {
        continue;
      }
      if (unified_.version == cgroup::Version::kV2) return;
    }
    GTEST_SKIP() << "no cgroup v2 is mounted";
  }
  cgroup::Hierarchy unified_;
};

TEST_F(LimitsTest, Pids) {
  if (!has("pids")) GTEST_SKIP() << "no pids controller";
  auto launch = shell("sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & echo all");
  resources(launch).pids_limit = 4;
  const Output output = run_container(launch);
  EXPECT_NE(output.err.find("fork"), std::string::npos) << output.err;
  resources(launch).pids_limit = 0;
  EXPECT_EQ(run_container(launch).out, "all\n");
}

TEST_F(LimitsTest, MemoryKillIsReportedOnce) {
  if (!has("memory")) GTEST_SKIP() << "no memory controller";
  auto launch = shell("read line; tail /dev/zero; read line");
  oci::MemoryLimits& memory = resources(launch).memory.emplace();
  memory.limit = int64_t{16} << 20;
  memory.swap = int64_t{16} << 20;
  const auto container = running(hierarchy(), launch);
  auto go = [](std::shared_ptr<Container> box) -> Awaitable<int> {
    co_await box->init()->write_stdin("go\n");
    co_await box->wait_oom();
    int more = 0;
    try {
      co_await with_deadline(box->wait_oom(), std::chrono::milliseconds(300), "a second event");
      more = 1;
    } catch (const Error&) {
      more = 0;
    }
    co_return more;
  };
  EXPECT_EQ(drive(go(container)), 0);
  const cgroup::Stats stats = container->stats();
  EXPECT_EQ(stats.memory.usage.limit, uint64_t{16} << 20);
  EXPECT_GT(stats.memory.usage.max_usage, uint64_t{8} << 20);
  drive(container->destroy());
}

TEST_F(LimitsTest, CpuQuotaThrottles) {
  if (!has("cpu")) GTEST_SKIP() << "no cpu controller";
  auto launch = shell("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo done");
  oci::CpuLimits& cpu = resources(launch).cpu.emplace();
  cpu.quota = 5000;
  cpu.period = 50000;
  const auto container = running(hierarchy(), launch);
  auto wait = [](std::shared_ptr<Container> box) -> Awaitable<cgroup::Stats> {
    co_await box->init()->read_stdout(10);
    co_return box->stats();
  };
  const cgroup::Stats stats = drive(wait(container));
  EXPECT_GT(stats.cpu.throttled_periods, 0U);
  EXPECT_GT(stats.cpu.throttled_ns, 0U);
  drive(container->destroy());
}

TEST_F(LimitsTest, CpusetAndUpdate) {
  if (!has("cpuset")) GTEST_SKIP() << "no cpuset controller";
  auto launch = shell("while read line; do grep Cpus_allowed_list /proc/self/status; done");
  resources(launch).cpu.emplace().cpus = "1";
  const auto container = running(hierarchy(), launch);
  auto ask = [](std::shared_ptr<Process> process) -> Awaitable<std::string> {
    co_await process->write_stdin("\n");
    co_return co_await process->read_stdout(100);
  };
  EXPECT_EQ(drive(ask(container->init())), "Cpus_allowed_list:\t1\n");
  oci::Resources change;
  change.cpu.emplace().cpus = "0";
  container->update(change);
  EXPECT_EQ(drive(ask(container->init())), "Cpus_allowed_list:\t0\n");
  change.cpu->cpus = "nonsense";
  EXPECT_THROW(container->update(change), Error);
  drive(container->destroy());
}

TEST_F(LimitsTest, DeviceRules) {
  if (!has("devices")) GTEST_SKIP() << "no device control";
  auto launch = shell(
      "mknod /dev/kmsg2 c 1 11; head -c 1 /dev/kmsg2 >/dev/null && echo read; head -c 1 /dev/zero | wc -c");
  launch.spec.process->capabilities->bounding.emplace_back("CAP_SYSLOG");
  launch.spec.process->capabilities->effective.emplace_back("CAP_SYSLOG");
  launch.spec.process->capabilities->permitted.emplace_back("CAP_SYSLOG");
  const oci::DeviceCgroupRule deny{.allow = false, .type = "a", .major = {}, .minor = {}, .access = "rwm"};
  const oci::DeviceCgroupRule kmsg{.allow = true, .type = "c", .major = 1, .minor = 11, .access = "r"};
  EXPECT_EQ(run_container(launch).out, "read\n1\n");
  resources(launch).devices = {deny};
  EXPECT_EQ(run_container(launch).out, "1\n");
  resources(launch).devices = {deny, kmsg};
  EXPECT_EQ(run_container(launch).out, "read\n1\n");
}

TEST_F(LimitsTest, WrongResources) {
  const struct {
    const char* what;
    std::function<void(oci::Resources&)> change;
  } rows[] = {
      {"swap is below",
       [](auto& r) {
         r.memory.emplace();
         r.memory->limit = 2000000;
         r.memory->swap = 1000000;
       }},
      {"needs resources.memory.limit", [](auto& r) { r.memory.emplace().swap = 1000000; }},
      {"page size", [](auto& r) { r.hugepage_limits = {{.page_size = "../x", .limit = 1}}; }},
      {"access",
       [](auto& r) { r.devices = {{.allow = true, .type = "c", .major = 1, .minor = 1, .access = "q"}}; }},
      {"type",
       [](auto& r) { r.devices = {{.allow = true, .type = "x", .major = 1, .minor = 1, .access = "r"}}; }},
  };
  for (const auto& row : rows) {
    auto launch = shell("true");
    row.change(resources(launch));
    Code code{};
    const std::string message = create_error(launch, &code);
    EXPECT_NE(message.find(row.what), std::string::npos) << message;
  }
}

TEST_F(LimitsTest, ForkBombEnds) {
  if (!has("pids")) GTEST_SKIP() << "no pids controller";
  auto launch = shell("b() { b | b & }; b; sleep 1000");
  resources(launch).pids_limit = 100;
  const auto container = running(hierarchy(), launch);
  drive(container->destroy());
  EXPECT_TRUE(container->processes().empty());
}

TEST_F(UnifiedTest, LifeInV2) {
  auto launch = shell("cat /proc/self/cgroup | grep '^0:'; sleep 1000");
  const auto container = running(unified_, launch);
  EXPECT_EQ(drive(container->init()->read_stdout(100)), "0::/\n");
  EXPECT_GE(container->processes().size(), 1U);
  drive(container->pause());
  drive(container->resume());
  oci::Process process = *container->spec().process;
  process.args = {"sh", "-c", "grep '^0:' /proc/self/cgroup"};
  EXPECT_EQ(drive(collect(drive(container->exec(process)))).out, "0::/\n");
  drive(container->signal_all(SIGUSR1));
  drive(container->pause());
  drive(container->destroy());
  EXPECT_FALSE(fs::exists(unified_.unified + "/kata-test"));
}

TEST_F(UnifiedTest, DeviceRulesByProgram) {
  auto launch = shell(
      "mknod /dev/kmsg2 c 1 11; head -c 1 /dev/kmsg2 >/dev/null && echo read; head -c 1 /dev/zero | wc -c");
  for (auto* set :
       {&launch.spec.process->capabilities->bounding, &launch.spec.process->capabilities->effective,
        &launch.spec.process->capabilities->permitted})
    set->emplace_back("CAP_SYSLOG");
  const oci::DeviceCgroupRule deny{.allow = false, .type = "a", .major = {}, .minor = {}, .access = "rwm"};
  const oci::DeviceCgroupRule kmsg{.allow = true, .type = "c", .major = 1, .minor = 11, .access = "r"};
  const oci::DeviceCgroupRule no_kmsg{.allow = false, .type = "c", .major = 1, .minor = 11, .access = "rw"};
  const struct {
    std::vector<oci::DeviceCgroupRule> rules;
    const char* out;
  } rows[] = {{{}, "read\n1\n"},
              {{deny}, "1\n"},
              {{deny, kmsg}, "read\n1\n"},
              {{deny, kmsg, no_kmsg}, "1\n"},
              {{no_kmsg}, "1\n"}};
  for (const auto& row : rows) {
    resources(launch).devices = row.rules;
    const auto container = running(unified_, launch);
    const Output output = drive(collect(container->init()));
    EXPECT_EQ(output.out, row.out) << output.err;
    drive(container->destroy());
  }
}

// The verifier gives up when a signal comes: the load is tried again.
TEST_F(UnifiedTest, DeviceRulesDespiteSignals) {
  struct sigaction nothing{};
  struct sigaction before{};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &nothing, &before), 0);
  auto launch = shell("true");
  const auto container = running(unified_, launch);
  const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 200},
                        .it_value = {.tv_sec = 0, .tv_usec = 200}};
  const itimerval never{};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  oci::Resources change;
  for (int minor = 0; minor < 200; ++minor) {
    change.devices.push_back({.allow = true, .type = "c", .major = 1, .minor = minor, .access = "r"});
    EXPECT_NO_THROW(container->update(change));
  }
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  drive(container->destroy());
}

TEST_F(UnifiedTest, DeviceRulesCanBeReplaced) {
  auto launch = shell("while read line; do head -c 1 /dev/full | wc -c; done 2>/dev/null");
  const auto container = running(unified_, launch);
  auto ask = [](std::shared_ptr<Process> process) -> Awaitable<std::string> {
    co_await process->write_stdin("\n");
    co_return co_await process->read_stdout(100);
  };
  EXPECT_EQ(drive(ask(container->init())), "1\n");
  oci::Resources change;
  change.devices = {{.allow = false, .type = "a", .major = {}, .minor = {}, .access = "rwm"}};
  container->update(change);
  // What every container gets stays.
  EXPECT_EQ(drive(ask(container->init())), "1\n");
  change.devices = {{.allow = true, .type = "a", .major = {}, .minor = {}, .access = "rwm"}};
  container->update(change);
  EXPECT_EQ(drive(ask(container->init())), "1\n");
  drive(container->destroy());
}

TEST_F(UnifiedTest, UnifiedKeysAreChecked) {
  for (const char* key : {"cgroup.procs", "../x.y", "nodot", ""}) {
    auto launch = shell("true");
    resources(launch).unified = {{key, "1"}};
    try {
      running(unified_, launch);
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << error.message();
    }
  }
}

TEST_F(UnifiedTest, ChildCgroupsGoToo) {
  auto launch = shell("mkdir -p /sys/fs/cgroup/a/b && echo made; sleep 1000");
  launch.spec.mounts.push_back({.destination = "/sys/fs/cgroup",
                                .source = "cgroup",
                                .type = "cgroup",
                                .options = {},
                                .uid_mappings = {},
                                .gid_mappings = {}});
  const auto container = running(unified_, launch);
  EXPECT_EQ(drive(container->init()->read_stdout(100)), "made\n");
  drive(container->destroy());
  EXPECT_FALSE(fs::exists(unified_.unified + "/kata-test"));
}

}  // namespace
}  // namespace kata::container
