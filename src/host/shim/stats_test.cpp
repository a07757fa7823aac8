#include "host/shim/stats.h"

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

sandbox::ContainerStats common() {
  sandbox::ContainerStats stats;
  stats.cpu_total = 3'000'000;
  stats.cpu_kernel = 1'000'000;
  stats.cpu_user = 2'000'000;
  stats.per_cpu = {1, 2};
  stats.periods = 10;
  stats.throttled_periods = 2;
  stats.throttled_time = 5'000;
  stats.pids_current = 4;
  stats.pids_limit = 100;
  stats.memory = {1000, 2000, 3, 4000};
  stats.swap = {10, 20, 0, 40};
  stats.io_service_bytes = {{"Read", 8, 0, 111}, {"Write", 8, 0, 222}, {"read", 8, 16, 5}};
  stats.io_serviced = {{"Read", 8, 0, 3}, {"write", 8, 0, 4}};
  stats.hugetlb["2MB"] = {1, 2, 3};
  sandbox::NetworkCounter network;
  network.name = "eth0";
  network.rx_bytes = 7;
  network.tx_dropped = 9;
  stats.network.push_back(network);
  return stats;
}

TEST(Stats, VersionOne) {
  sandbox::ContainerStats stats = common();
  stats.memory_stat = {{"cache", 1},
                       {"total_rss", 2},
                       {"rss", 3},
                       {"total_inactive_file", 4},
                       {"total_pgfault", 5},
                       {"pgmajfault", 6},
                       {"hierarchical_memory_limit", 7}};
  const auto metrics = to_metrics_v1(stats, 8);
  EXPECT_EQ(metrics.cpu().usage().total(), 3'000'000U);
  EXPECT_EQ(metrics.cpu().usage().kernel(), 1'000'000U);
  EXPECT_EQ(metrics.cpu().usage().per_cpu(1), 2U);
  EXPECT_EQ(metrics.cpu().throttling().throttled_time(), 5'000U);
  EXPECT_EQ(metrics.memory().usage().usage(), 1000U);
  EXPECT_EQ(metrics.memory().usage().max(), 2000U);
  EXPECT_EQ(metrics.memory().usage().failcnt(), 3U);
  EXPECT_EQ(metrics.memory().usage().limit(), 4000U);
  EXPECT_EQ(metrics.memory().swap().usage(), 10U);
  EXPECT_EQ(metrics.memory().cache(), 1U);
  EXPECT_EQ(metrics.memory().total_rss(), 2U);
  EXPECT_EQ(metrics.memory().rss(), 3U);
  EXPECT_EQ(metrics.memory().total_inactive_file(), 4U);
  EXPECT_EQ(metrics.memory().total_pg_fault(), 5U);
  EXPECT_EQ(metrics.memory().total_pg_maj_fault(), 6U);
  EXPECT_EQ(metrics.memory().hierarchical_memory_limit(), 7U);
  EXPECT_EQ(metrics.memory_oom_control().oom_kill(), 8U);
  EXPECT_EQ(metrics.pids().current(), 4U);
  EXPECT_EQ(metrics.pids().limit(), 100U);
  ASSERT_EQ(metrics.blkio().io_service_bytes_recursive_size(), 3);
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(1).op(), "Write");
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(1).value(), 222U);
  EXPECT_EQ(metrics.hugetlb(0).pagesize(), "2MB");
  EXPECT_EQ(metrics.hugetlb(0).usage(), 1U);
  EXPECT_EQ(metrics.network(0).name(), "eth0");
  EXPECT_EQ(metrics.network(0).rx_bytes(), 7U);
  EXPECT_EQ(metrics.network(0).tx_dropped(), 9U);
}

TEST(Stats, VersionOneFromAGuestOfVersionTwo) {
  sandbox::ContainerStats stats = common();
  stats.memory_stat = {{"anon", 1}, {"file", 2}, {"inactive_file", 3}, {"pgfault", 4}, {"pgmajfault", 5}};
  const auto metrics = to_metrics_v1(stats, 0);
  EXPECT_EQ(metrics.memory().total_rss(), 1U);
  EXPECT_EQ(metrics.memory().rss(), 1U);
  EXPECT_EQ(metrics.memory().total_cache(), 2U);
  EXPECT_EQ(metrics.memory().total_inactive_file(), 3U);
  EXPECT_EQ(metrics.memory().total_pg_fault(), 4U);
  EXPECT_EQ(metrics.memory().total_pg_maj_fault(), 5U);
}

TEST(Stats, VersionTwo) {
  sandbox::ContainerStats stats = common();
  stats.memory_stat = {{"anon", 1},    {"file", 2},       {"inactive_file", 3},
                       {"pgfault", 4}, {"pgmajfault", 5}, {"slab", 6}};
  const auto metrics = to_metrics_v2(stats, 8);
  EXPECT_EQ(metrics.cpu().usage_usec(), 3'000U);
  EXPECT_EQ(metrics.cpu().system_usec(), 1'000U);
  EXPECT_EQ(metrics.cpu().user_usec(), 2'000U);
  EXPECT_EQ(metrics.cpu().nr_throttled(), 2U);
  EXPECT_EQ(metrics.cpu().throttled_usec(), 5U);
  EXPECT_EQ(metrics.memory().usage(), 1000U);
  EXPECT_EQ(metrics.memory().usage_limit(), 4000U);
  EXPECT_EQ(metrics.memory().swap_limit(), 40U);
  EXPECT_EQ(metrics.memory().anon(), 1U);
  EXPECT_EQ(metrics.memory().file(), 2U);
  EXPECT_EQ(metrics.memory().inactive_file(), 3U);
  EXPECT_EQ(metrics.memory().pgfault(), 4U);
  EXPECT_EQ(metrics.memory().pgmajfault(), 5U);
  EXPECT_EQ(metrics.memory().slab(), 6U);
  EXPECT_EQ(metrics.memory_events().oom_kill(), 8U);
  EXPECT_EQ(metrics.memory_events().max(), 3U);
  ASSERT_EQ(metrics.io().usage_size(), 2);
  EXPECT_EQ(metrics.io().usage(0).rbytes(), 111U);
  EXPECT_EQ(metrics.io().usage(0).wbytes(), 222U);
  EXPECT_EQ(metrics.io().usage(0).rios(), 3U);
  EXPECT_EQ(metrics.io().usage(0).wios(), 4U);
  EXPECT_EQ(metrics.io().usage(1).minor(), 16U);
  EXPECT_EQ(metrics.hugetlb(0).current(), 1U);
  EXPECT_EQ(metrics.network(0).tx_dropped(), 9U);
}

TEST(Stats, VersionTwoFromAGuestOfVersionOne) {
  sandbox::ContainerStats stats = common();
  stats.memory_stat = {{"total_rss", 1}, {"rss", 9}, {"cache", 2}, {"total_inactive_file", 3}};
  const auto metrics = to_metrics_v2(stats, 0);
  EXPECT_EQ(metrics.memory().anon(), 1U);
  EXPECT_EQ(metrics.memory().file(), 2U);
  EXPECT_EQ(metrics.memory().inactive_file(), 3U);
}

TEST(Stats, TheAnyCarriesContainerdsTypeNames) {
  EXPECT_EQ(to_metrics(CgroupVersion::kV1, {}, 0).type_url(), "io.containerd.cgroups.v1.Metrics");
  EXPECT_EQ(to_metrics(CgroupVersion::kV2, {}, 0).type_url(), "io.containerd.cgroups.v2.Metrics");
}

}  // namespace
}  // namespace kata::shim
