#include "host/resource/cgroup/sandbox_cgroup.h"

#include <algorithm>
#include <sys/wait.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "host/resource/cgroup/device_rules.h"
#include "host/resource/cgroup/fake_node_files.h"
#include "lib/fd/io.h"

namespace kata::node_cgroup {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

kernel::CgroupLayout v1() {
  return {
      .version = kernel::CgroupVersion::kV1,
      .unified = {},
      .controllers = {
          {"cpu", "/c/cpu"}, {"cpuset", "/c/cpuset"}, {"devices", "/c/devices"}, {"memory", "/c/memory"}}};
}

kernel::CgroupLayout v2() {
  return {.version = kernel::CgroupVersion::kV2, .unified = "/c", .controllers = {}};
}

std::vector<std::string> release(SandboxCgroup& group) {
  asio::io_context context;
  Teardown teardown("test", [](std::string_view) {});
  auto body = [](SandboxCgroup& subject, Teardown& steps) -> Awaitable<> { co_await subject.release(steps); };
  asio::co_spawn(context, body(group, teardown), [](const std::exception_ptr&) {});
  context.run();
  return teardown.failures();
}

struct Fixture {
  std::shared_ptr<FakeNodeFiles> files = std::make_shared<FakeNodeFiles>();
  SandboxCgroup group;
  explicit Fixture(kernel::CgroupLayout layout = v1(), std::string overhead = "")
      : group(files, std::move(layout), {.sandbox = "/pod/sb", .overhead = std::move(overhead)}) {
    files->files["/c/cpuset/cpuset.cpus"] = "0-1\n";
    files->files["/c/cpuset/cpuset.mems"] = "0\n";
    files->files["/proc/self/cgroup"] = "4:memory:/home\n3:cpuset:/\n2:devices:/\n1:cpu:/gone\n0::/x\n";
    files->folders.insert("/c/memory/home");
  }
};

TEST(SandboxCgroup, MadeEnteredAndRemoved) {
  Fixture f;
  f.files->threads = {100, 101};
  EXPECT_EQ(f.group.missing_folders().size(), 8U);
  f.group.create();
  EXPECT_EQ(f.files->files["/c/cpuset/pod/sb/cpuset.cpus"], "0-1\n");
  f.group.enter();
  EXPECT_THAT(f.files->writes, Contains("/c/memory/pod/sb/tasks=0"));
  EXPECT_THAT(f.files->writes, Contains("/c/memory/pod/sb/tasks=101"));
  EXPECT_TRUE(f.group.vmm_entry_files().empty());
  EXPECT_THAT(release(f.group), IsEmpty());
  EXPECT_THAT(f.files->writes, Contains("/c/memory/home/tasks=0"));
  // Where the old home is gone the root takes the process.
  EXPECT_THAT(f.files->writes, Contains("/c/cpu/tasks=0"));
  EXPECT_THAT(f.files->folders, ElementsAre("/c/memory/home"));
  EXPECT_THAT(release(f.group), IsEmpty());
}

TEST(SandboxCgroup, WhatWasThereStays) {
  Fixture f;
  f.files->folders.insert("/c/memory/pod");
  f.group.create();
  release(f.group);
  EXPECT_THAT(f.files->folders, ElementsAre("/c/memory/home", "/c/memory/pod"));
}

TEST(SandboxCgroup, AParentWithAnotherSandboxStays) {
  Fixture f;
  f.group.create();
  f.files->folders.insert("/c/memory/pod/other");
  EXPECT_THAT(release(f.group), IsEmpty());
  EXPECT_TRUE(f.files->folders.contains("/c/memory/pod"));
  EXPECT_FALSE(f.files->folders.contains("/c/memory/pod/sb"));
}

TEST(SandboxCgroup, TheLastOneTakesOurParentsAway) {
  auto files = std::make_shared<FakeNodeFiles>();
  SandboxCgroup first(files, v1(), {.sandbox = "/kata_sandboxed_pod/a", .overhead = "/kata_overhead/a"});
  SandboxCgroup second(files, v1(), {.sandbox = "/kata_sandboxed_pod/b", .overhead = "/kata_overhead/b"});
  first.create();
  second.create();
  EXPECT_THAT(release(first), IsEmpty());
  EXPECT_TRUE(files->folders.contains("/c/cpu/kata_overhead/b"));
  EXPECT_THAT(release(second), IsEmpty());
  EXPECT_THAT(files->folders, IsEmpty());
}

TEST(SandboxCgroup, AProcessThatNeverEndsIsReported) {
  Fixture f;
  f.group.create();
  f.files->busy.insert("/c/memory/pod/sb");
  EXPECT_THAT(release(f.group),
              ElementsAre(HasSubstr("/c/memory/pod: processes"), HasSubstr("/c/memory/pod/sb: processes")));
}

TEST(SandboxCgroup, AFailedCreateLeavesNothing) {
  Fixture f;
  f.files->failures["/c/memory/pod/sb"] = {EACCES};
  EXPECT_THROW(f.group.create(), Error);
  EXPECT_THAT(f.files->folders, ElementsAre("/c/memory/home"));
}

// B18: EEXIST anywhere in the chain is tried once more, anything else not.
TEST(SandboxCgroup, EnteringIsRetriedOnce) {
  struct Row {
    const char* name;
    std::vector<int> errors;
    bool success;
    size_t tries;
  };
  const Row rows[] = {{"no error", {}, true, 1},
                      {"once", {EEXIST}, true, 2},
                      {"twice", {EEXIST, EEXIST}, false, 2},
                      {"other", {EACCES}, false, 1},
                      {"not empty", {ENOTEMPTY}, false, 1}};
  for (const Row& row : rows) {
    Fixture f;
    f.group.create();
    f.files->failures["/c/cpu/pod/sb/tasks"] = row.errors;
    try {
      f.group.enter();
      EXPECT_TRUE(row.success) << row.name;
    } catch (const Error& error) {
      EXPECT_FALSE(row.success) << row.name;
      EXPECT_EQ(error.message().find("(retry after pre-existing cgroup)") != std::string::npos,
                row.tries == 2)
          << row.name;
    }
    EXPECT_EQ(row.errors.size() - f.files->failures["/c/cpu/pod/sb/tasks"].size() + (row.success ? 1 : 0),
              row.tries)
        << row.name;
  }
}

TEST(SandboxCgroup, LimitsOfV1) {
  Fixture f;
  f.group.create();
  f.files->writes.clear();
  f.group.apply({.cpu_shares = UINT64_MAX,
                 .cpu_quota = 120000,
                 .cpu_period = 100000,
                 .cpus = "1",
                 .mems = "",
                 .memory_bytes = 1 << 30});
  EXPECT_THAT(
      f.files->writes,
      ElementsAre("/c/cpu/pod/sb/cpu.shares=262144", "/c/cpu/pod/sb/cpu.cfs_quota_us=-1",
                  "/c/cpu/pod/sb/cpu.cfs_period_us=100000", "/c/cpu/pod/sb/cpu.cfs_quota_us=120000",
                  "/c/cpuset/pod/sb/cpuset.cpus=1", "/c/memory/pod/sb/memory.limit_in_bytes=1073741824"));
  f.files->writes.clear();
  f.group.apply(
      {.cpu_shares = {}, .cpu_quota = -1, .cpu_period = {}, .cpus = {}, .mems = {}, .memory_bytes = 0});
  EXPECT_THAT(f.files->writes,
              ElementsAre("/c/cpu/pod/sb/cpu.cfs_quota_us=-1", "/c/memory/pod/sb/memory.limit_in_bytes=-1"));
}

TEST(SandboxCgroup, LimitsOfV2AreOnTheVcpus) {
  Fixture f(v2(), "/kata_overhead/sb");
  f.files->files["/c/pod/cgroup.controllers"] = "cpu memory\n";
  f.files->files["/c/pod/sb/cgroup.controllers"] = "cpu\n";
  f.group.create();
  // In this order: the other way round a parent may hand down what only whole processes have.
  const auto threaded = std::ranges::find(f.files->writes, "/c/pod/sb/vcpus/cgroup.type=threaded");
  ASSERT_NE(threaded, f.files->writes.end());
  EXPECT_THAT(std::vector(threaded + 1, f.files->writes.end()),
              ElementsAre("/c/pod/sb/cgroup.subtree_control=+cpu"));
  EXPECT_THAT(f.files->writes, Contains("/c/pod/cgroup.subtree_control=+cpu"));
  f.group.enter();
  EXPECT_THAT(f.files->writes, Contains("/c/kata_overhead/sb/cgroup.procs=" + std::to_string(::getpid())));
  EXPECT_THAT(f.group.vmm_entry_files(), ElementsAre("/c/pod/sb/cgroup.procs"));
  f.files->writes.clear();
  f.group.apply(
      {.cpu_shares = 1024, .cpu_quota = 50000, .cpu_period = {}, .cpus = {}, .mems = {}, .memory_bytes = 5});
  f.group.place_vcpus({7, 8});
  EXPECT_THAT(f.files->writes,
              ElementsAre("/c/pod/sb/vcpus/cpu.weight=39", "/c/pod/sb/vcpus/cpu.max=50000 100000",
                          "/c/pod/sb/memory.max=5", "/c/pod/sb/vcpus/cgroup.threads=7",
                          "/c/pod/sb/vcpus/cgroup.threads=8"));
  EXPECT_THAT(release(f.group), IsEmpty());
  EXPECT_FALSE(f.files->folders.contains("/c/pod/sb"));
}

TEST(SandboxCgroup, OverheadOfV1TakesTheProcessAndOnlyVcpusMove) {
  Fixture f(v1(), "/kata_overhead/sb");
  f.group.create();
  f.group.enter();
  EXPECT_THAT(f.files->writes, Contains("/c/cpu/kata_overhead/sb/tasks=0"));
  f.files->writes.clear();
  f.group.place_vcpus({7});
  EXPECT_THAT(f.files->writes, ElementsAre("/c/cpu/pod/sb/tasks=7", "/c/cpuset/pod/sb/tasks=7"));
}

TEST(SandboxCgroup, AMissingControllerIsNoError) {
  auto layout = v1();
  layout.controllers.erase("memory");
  Fixture f(layout);
  f.group.create();
  f.group.enter();
  f.files->new_files.erase("cpu.shares");
  f.files->writes.clear();
  f.group.apply(
      {.cpu_shares = 5, .cpu_quota = {}, .cpu_period = {}, .cpus = {}, .mems = {}, .memory_bytes = 5});
  EXPECT_THAT(f.files->writes, IsEmpty());
  EXPECT_EQ(f.group.oom_kills(), 0U);
}

// A manager that takes a pod's cgroups away under us: limits have no place any more, the end has nothing to
// do.
TEST(SandboxCgroup, RemovedUnderUs) {
  for (const auto& layout : {v1(), v2()}) {
    Fixture f(layout);
    f.group.create();
    f.group.enter();
    std::erase_if(f.files->folders, [](const std::string& path) { return path.ends_with("/pod/sb"); });
    std::erase_if(f.files->files, [](const auto& file) { return file.first.contains("/pod/sb/"); });
    f.files->writes.clear();
    f.group.apply({.cpu_shares = 5,
                   .cpu_quota = 5000,
                   .cpu_period = 100000,
                   .cpus = "0",
                   .mems = "0",
                   .memory_bytes = 5});
    EXPECT_THAT(f.files->writes, IsEmpty());
    EXPECT_EQ(f.group.oom_kills(), 0U);
    EXPECT_THAT(release(f.group), IsEmpty());
  }
}

// Hybrid nodes have a v2 hierarchy with few controllers or none.
TEST(SandboxCgroup, AV2HierarchyWithOnlySomeControllers) {
  Fixture f(v2());
  f.files->new_files = {"cpu.max"};
  f.group.create();
  f.group.enter();
  f.files->writes.clear();
  f.group.apply(
      {.cpu_shares = 5, .cpu_quota = 5000, .cpu_period = {}, .cpus = "0", .mems = "0", .memory_bytes = 5});
  EXPECT_THAT(f.files->writes, ElementsAre("/c/pod/sb/cpu.max=5000 100000"));
}

TEST(SandboxCgroup, DevicesAreAllOrNothing) {
  Fixture f;
  f.group.create();
  f.files->failures["/c/devices/pod/sb/devices.allow"] = {EPERM};
  f.files->writes.clear();
  f.group.restrict_devices({"c 1:3 rwm"});
  EXPECT_THAT(f.files->writes,
              ElementsAre("/c/devices/pod/sb/devices.deny=a", "/c/devices/pod/sb/devices.allow=a"));
}

TEST(SandboxCgroup, OomKills) {
  Fixture f;
  f.group.create();
  f.files->files["/c/memory/pod/sb/memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
  EXPECT_EQ(f.group.oom_kills(), 3U);
}

// On this machine's own hierarchies.
TEST(SandboxCgroup, OnTheNode) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  kernel::CgroupLayout layout;
  try {
    layout = kernel::CgroupLayout::detect();
  } catch (const Error& error) {
    GTEST_SKIP() << error.message();
  }
  if (layout.version == kernel::CgroupVersion::kV2) GTEST_SKIP() << "moves only processes on v1 here";
  const std::string id = "kata-unit-" + std::to_string(::getpid());
  for (const Placement placement : {Placement::kSandboxOnly, Placement::kOverhead}) {
    const CgroupPlan plan = plan_cgroups("/" + id + "/sb", id, placement);
    SandboxCgroup group(NodeFiles::kernel(), layout, plan);
    try {
      group.create();
    } catch (const Error& error) {
      GTEST_SKIP() << error.message();
    }
    group.enter();
    group.restrict_devices(vmm_device_rules(read_file("/proc/misc"), read_file("/proc/devices")));
    group.apply({.cpu_shares = 512,
                 .cpu_quota = 150000,
                 .cpu_period = 100000,
                 .cpus = {},
                 .mems = {},
                 .memory_bytes = 1 << 30});
    const std::string cgroups = read_file("/proc/self/cgroup");
    const std::string& mine = plan.overhead.empty() ? plan.sandbox : plan.overhead;
    for (const auto& [controller, mount] : layout.controllers)
      EXPECT_THAT(cgroups, HasSubstr(controller + ":" + mine)) << controller;
    const pid_t child = ::fork();
    if (child == 0) {
      bool inside = true;
      for (const auto& [controller, mount] : layout.controllers)
        inside = inside && read_file("/proc/self/cgroup").find(controller + ":" + mine) != std::string::npos;
      ::_exit(inside ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << "a child is born outside";
    EXPECT_THAT(release(group), IsEmpty());
    EXPECT_THAT(read_file("/proc/self/cgroup"), Not(HasSubstr(mine)));
  }
}

}  // namespace
}  // namespace kata::node_cgroup
