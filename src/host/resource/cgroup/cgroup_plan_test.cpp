#include "host/resource/cgroup/cgroup_plan.h"

#include <gmock/gmock.h>

#include "host/resource/cgroup/device_rules.h"
#include "lib/error/error.h"

namespace kata::node_cgroup {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

TEST(CgroupPlan, Paths) {
  struct Row {
    const char *name, *given;
    Placement placement;
    const char *sandbox, *overhead;
  };
  const Row rows[] = {
      {"cgroupfs", "/kubepods/pod1/sb", Placement::kSandboxOnly, "/kubepods/pod1/sb", ""},
      {"no leading slash", "a/b", Placement::kSandboxOnly, "/a/b", ""},
      {"empty", "", Placement::kSandboxOnly, "/kata_sandboxed_pod/sb", ""},
      {"cgroupfs with overhead", "/a/b", Placement::kOverhead, "/a/b", "/kata_overhead/sb"},
      {"empty with overhead", "", Placement::kOverhead, "/kata_sandboxed_pod/sb", "/kata_overhead/sb"},
      {"systemd", "kubepods-besteffort-pod1.slice:cri-containerd:sb", Placement::kSandboxOnly,
       "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-sb.scope",
       ""},
      {"systemd with overhead", "system.slice:kata:sb", Placement::kOverhead, "/system.slice/kata-sb.scope",
       "/kata.slice/kata-overhead.slice/runtime-rs-sb.scope"},
      {"systemd, root slice", "-:kata:sb", Placement::kSandboxOnly, "/kata-sb.scope", ""},
      {"the root itself", "/", Placement::kSandboxOnly, "/sb", ""},
  };
  for (const Row& row : rows) {
    const CgroupPlan plan = plan_cgroups(row.given, "sb", row.placement);
    EXPECT_EQ(plan.sandbox, row.sandbox) << row.name;
    EXPECT_EQ(plan.overhead, row.overhead) << row.name;
  }
  for (const char* bad : {"../x", "/a/../../b", "a.slice:x:../../y"})
    EXPECT_THROW(plan_cgroups(bad, "sb", Placement::kSandboxOnly), Error) << bad;
}

TEST(CgroupPlan, Folders) {
  kernel::CgroupLayout v1{.version = kernel::CgroupVersion::kV1,
                          .unified = {},
                          .controllers = {{"cpu", "/c/cpu"}, {"cpuacct", "/c/cpu"}, {"memory", "/c/memory"}}};
  EXPECT_THAT(folders_of({.sandbox = "/a/b", .overhead = ""}, v1),
              ElementsAre("/c/cpu/a", "/c/cpu/a/b", "/c/memory/a", "/c/memory/a/b"));
  EXPECT_THAT(
      folders_of({.sandbox = "/a", .overhead = "/o/s"}, v1),
      ElementsAre("/c/cpu/a", "/c/cpu/o", "/c/cpu/o/s", "/c/memory/a", "/c/memory/o", "/c/memory/o/s"));
  kernel::CgroupLayout v2{.version = kernel::CgroupVersion::kV2, .unified = "/c", .controllers = {}};
  EXPECT_THAT(folders_of({.sandbox = "/a", .overhead = "/o/s"}, v2),
              ElementsAre("/c/a", "/c/o", "/c/o/s", "/c/a/vcpus"));
}

TEST(DeviceRules, NumbersComeFromTheKernel) {
  const auto rules =
      vmm_device_rules("200 tun\n232 kvm\n63 cpu_dma_latency\n",
                       "Character devices:\n  1 mem\n246 macvtap\n\nBlock devices:\n250 vfio\n");
  for (const char* wanted : {"c 10:200 rwm", "c 10:232 rwm", "c 246:* rwm", "b *:* rwm", "c 1:3 rwm"})
    EXPECT_THAT(rules, Contains(wanted));
  for (const char* unwanted : {"c 10:63 rwm", "c 250:* rwm", "c 1:1 rwm"})
    EXPECT_THAT(rules, Not(Contains(unwanted)));
}

}  // namespace
}  // namespace kata::node_cgroup
