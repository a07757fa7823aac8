#include "host/resource/sizing/pod_resources.h"

#include <gtest/gtest.h>

namespace kata::sizing {
namespace {

constexpr int64_t kMib = 1 << 20;

oci::Resources limits(std::optional<int64_t> quota, std::optional<uint64_t> period,
                      std::optional<int64_t> memory, std::string cpus = "",
                      std::optional<uint64_t> shares = {}) {
  oci::Resources resources;
  resources.cpu.emplace();
  resources.cpu->quota = quota;
  resources.cpu->period = period;
  resources.cpu->cpus = std::move(cpus);
  resources.cpu->shares = shares;
  resources.memory.emplace();
  resources.memory->limit = memory;
  return resources;
}

TEST(PodResources, WantedSizes) {
  struct Row {
    const char* name;
    std::vector<oci::Resources> containers;
    double vcpus;
    uint64_t memory;
    uint32_t wanted_vcpus;
    uint64_t wanted_memory;
  };
  const Row rows[] = {
      {"no container", {}, 1, 256, 1, 256},
      {"no limits", {oci::Resources{}}, 1, 256, 1, 256},
      {"one", {limits(100000, 100000, 512 * kMib)}, 1, 256, 2, 768},
      {"rounded up on the sum", {limits(50000, 100000, 0), limits(50000, 100000, 0)}, 1, 256, 2, 256},
      {"a hair off", {limits(180000, 100000, 0)}, 0.2, 256, 2, 256},
      {"fractional default", {limits(10000, 100000, 0)}, 1.5, 256, 2, 256},
      {"quota 0", {limits(0, 100000, 0)}, 1, 256, 1, 256},
      {"quota -1", {limits(-1, 100000, -1)}, 1, 256, 1, 256},
      {"period 0", {limits(100000, 0, 0)}, 1, 256, 1, 256},
      {"shares of 2^64-1", {limits(-1, 0, 0, "", UINT64_MAX), limits(-1, 0, 0, "", 5)}, 1, 256, 1, 256},
      {"1 byte", {limits({}, {}, 1)}, 1, 256, 1, 256},
      {"1 EiB",
       {limits({}, {}, int64_t{1} << 60), limits({}, {}, INT64_MAX)},
       1,
       256,
       1,
       256 + (uint64_t{1} << 40) + (uint64_t{1} << 43)},
      {"quota of 2^63-1", {limits(INT64_MAX, 1, 0)}, 1, 256, 1000000000, 256},
  };
  for (const Row& row : rows) {
    PodResources pod;
    for (size_t i = 0; i < row.containers.size(); ++i)
      pod.set("c" + std::to_string(i), {.resources = row.containers[i], .counts = true});
    const WantedSize size = wanted_size(row.vcpus, row.memory, pod.totals());
    EXPECT_EQ(size.vcpus, row.wanted_vcpus) << row.name;
    EXPECT_EQ(size.memory_mib, row.wanted_memory) << row.name;
  }
}

TEST(PodResources, UpdatesChangeOnlyWhatTheyName) {
  PodResources pod;
  pod.set("a", {.resources = limits(100000, 100000, 512 * kMib), .counts = true});
  oci::Resources change;
  change.cpu.emplace().quota = 200000;
  pod.update("a", change);
  EXPECT_EQ(pod.totals().vcpus, 2);
  EXPECT_EQ(pod.totals().memory_bytes, 512U * kMib);
  pod.erase("a");
  EXPECT_EQ(pod.totals().vcpus, 0);
}

TEST(PodResources, APodIsLimitedOnlyIfAllAre) {
  PodResources pod;
  pod.set("pause", {.resources = {}, .counts = false});
  EXPECT_FALSE(pod.totals().cpu_limited);
  pod.set("a", {.resources = limits(100000, 100000, 512 * kMib, "0-1,4", 100), .counts = true});
  EXPECT_TRUE(pod.totals().cpu_limited);
  EXPECT_TRUE(pod.totals().memory_limited);
  pod.set("b", {.resources = limits({}, {}, {}, "2,x,7-", 20), .counts = true});
  const Totals totals = pod.totals();
  EXPECT_FALSE(totals.cpu_limited);
  EXPECT_EQ(totals.cpus, "0-2,4,7");
  EXPECT_EQ(totals.cpu_shares, 120U);
  pod.set_pod({.vcpus = 1.5, .memory_mib = 300});
  EXPECT_EQ(pod.totals().vcpus, 1.5);
  EXPECT_TRUE(pod.totals().memory_limited);
}

TEST(PodResources, TheNodesLimitsLeaveRoomForTheVmm) {
  Totals totals{.vcpus = 1,
                .memory_bytes = 1,
                .cpu_shares = 1024,
                .cpus = "1",
                .mems = "",
                .cpu_limited = true,
                .memory_limited = true};
  const NodeShare share = node_share(totals, {.vcpus = 0.2, .vm_memory_mib = 288});
  EXPECT_EQ(share.cpu_quota, 120000);
  EXPECT_EQ(share.cpu_shares, 1024U);
  EXPECT_GE(share.memory_bytes, uint64_t{288 + 1024} * kMib);
  totals.cpu_limited = totals.memory_limited = false;
  EXPECT_EQ(node_share(totals, {}).cpu_quota, -1);
  EXPECT_EQ(node_share(totals, {}).memory_bytes, 0U);
  totals.cpu_limited = true;
  totals.vcpus = 0.0001;
  EXPECT_EQ(node_share(totals, {}).cpu_quota, 1000);
  totals.vcpus = 1e300;
  EXPECT_GT(node_share(totals, {}).cpu_quota, 0);
}

}  // namespace
}  // namespace kata::sizing
