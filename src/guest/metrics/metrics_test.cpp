#include "guest/metrics/metrics.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>
#include <unistd.h>

#include "guest/metrics/proc_text.h"
#include "guest/metrics/text_writer.h"

namespace kata::metrics {
namespace {

double value_of(const std::vector<Item>& items, std::string_view name) {
  for (const Item& item : items) {
    if (item.name == name) return item.value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

TEST(TextWriter, FamiliesLabelsAndNumbers) {
  TextWriter out;
  out.family("empty", "never written", "gauge");
  out.family("a", "First.", "counter");
  out.sample(3);
  out.family("b", "Second.", "gauge");
  out.sample(0.5, {{"item", "x"}});
  out.sample(1e15, {{"disk", "a\"b\\c\nd"}, {"item", "y"}});
  EXPECT_EQ(out.take(),
            "# HELP a First.\n# TYPE a counter\na 3\n"
            "# HELP b Second.\n# TYPE b gauge\nb{item=\"x\"} 0.5\n"
            "b{disk=\"a\\\"b\\\\c\\nd\",item=\"y\"} 1000000000000000\n");
}

TEST(ProcText, ProcessStatWithAnUglyName) {
  const auto stat = parse_process_stat(
      "7 (a) b) S 1 7 7 0 -1 4194560 100 200 3 4 11 12 13 14 20 0 5 0 99 4096000 250 18446744073709551615 "
      "1\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->user_time, 11);
  EXPECT_EQ(stat->system_time, 12);
  EXPECT_EQ(stat->children_user_time, 13);
  EXPECT_EQ(stat->children_system_time, 14);
  EXPECT_EQ(stat->threads, 5);
  EXPECT_EQ(stat->virtual_bytes, 4096000);
  EXPECT_EQ(stat->resident_pages, 250);
  for (const char* bad : {"", "7", "7 (x", "7 (x) S 1 2 3", "7 (x) S 1 7 7 0 -1 y 100 200 3 4 11 12"})
    EXPECT_FALSE(parse_process_stat(bad)) << bad;
}

TEST(ProcText, Load) {
  const auto load = parse_load("0.20 1.18 12.10 3/180 4711\n");
  ASSERT_TRUE(load);
  EXPECT_EQ(load->one, 0.20);
  EXPECT_EQ(load->fifteen, 12.10);
  EXPECT_EQ(load->running, 3);
  EXPECT_EQ(load->tasks, 180);
  for (const char* bad : {"", "0.2 0.3", "0.2 0.3 0.4 3 1", "0.2 0.3 0.4 x/y 1", "a b c 1/2 3"})
    EXPECT_FALSE(parse_load(bad)) << bad;
}

TEST(ProcText, MeminfoNamesAndUnits) {
  struct Row {
    const char* line;
    const char* name;
    double value;
  };
  const Row rows[] = {{"MemTotal:  100 kB", "mem_total", 102400},
                      {"Active(anon): 2 kB", "active_anon", 2048},
                      {"SReclaimable: 1 kB", "s_reclaimable", 1024},
                      {"KReclaimable: 1 kB", "k_reclaimable", 1024},
                      {"NFS_Unstable: 0 kB", "nfs_unstable", 0},
                      {"Committed_AS: 1 kB", "committed_as", 1024},
                      {"AnonHugePages: 1 kB", "anon_hugepages", 1024},
                      {"HugePages_Total: 7", "hugepages_total", 7},
                      {"Hugepagesize: 2048 kB", "hugepagesize", 2097152},
                      {"ShmemPmdMapped: 0 kB", "shmem_pmd_mapped", 0},
                      {"DirectMap4k: 4 kB", "direct_map_4k", 4096},
                      {"DirectMap2M: 4 kB", "direct_map_2M", 4096},
                      {"Percpu: 4 kB", "per_cpu", 4096},
                      {"CmaFree: 4 kB", "cma_free", 4096}};
  for (const Row& row : rows) {
    const auto items = parse_meminfo(row.line);
    ASSERT_EQ(items.size(), 1U) << row.line;
    EXPECT_EQ(items[0], (Item{row.name, row.value})) << row.line;
  }
  for (const char* bad : {"", "MemTotal 5 kB", "MemTotal: x kB", ":", "MemTotal:"})
    EXPECT_TRUE(parse_meminfo(bad).empty()) << bad;
}

TEST(ProcText, StatusKeepsMemoryAndSwitches) {
  const auto items =
      parse_status("Name:\tx\nVmRSS:\t  20 kB\nThreads:\t1\nvoluntary_ctxt_switches:\t9\nVmX:\tq\n");
  EXPECT_EQ(items, (std::vector<Item>{{"vmrss", 20}, {"voluntary_ctxt_switches", 9}}));
}

TEST(ProcText, Pairs) {
  EXPECT_EQ(parse_pairs("rchar: 5\nnr_free 7\nbad\nx y\n"),
            (std::vector<Item>{{"rchar", 5}, {"nr_free", 7}}));
}

TEST(ProcText, CpuTimes) {
  const auto groups = parse_cpu_times("cpu  10 0 20 30 1 2 3 4 5 6\ncpu0 1 2 3 4\ncpu1 x\nintr 5\n", 100);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "total");
  EXPECT_EQ(value_of(groups[0].items, "user"), 100);
  EXPECT_EQ(value_of(groups[0].items, "guest_nice"), 60);
  EXPECT_EQ(groups[1].name, "0");
  EXPECT_EQ(value_of(groups[1].items, "idle"), 40);
  EXPECT_EQ(value_of(groups[1].items, "steal"), 0);
}

TEST(ProcText, Disks) {
  const auto groups = parse_diskstats(
      " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
      " 7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n"
      " 7 1 short 1 2 3\nx y z\n");
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(value_of(groups[0].items, "reads"), 1);
  EXPECT_EQ(value_of(groups[0].items, "time_flushing"), 17);
  EXPECT_EQ(value_of(groups[1].items, "weighted_time_in_progress"), 11);
  EXPECT_EQ(value_of(groups[1].items, "discards"), 0);
}

TEST(ProcText, NetDevices) {
  const auto groups = parse_net_devices(
      "Inter-|   Receive  |  Transmit\n face |bytes packets\n"
      "    lo:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n eth0: 1 2\n  a:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 "
      "16\n");
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "lo");
  EXPECT_EQ(value_of(groups[0].items, "recv_bytes"), 1);
  EXPECT_EQ(value_of(groups[0].items, "sent_compressed"), 16);
  EXPECT_EQ(groups[1].name, "a:1");
}

TEST(Metrics, EveryFamilyOfThisMachine) {
  const std::string text = collect("/proc", 41);
  EXPECT_NE(text.find("# TYPE kata_agent_scrape_count counter\nkata_agent_scrape_count 41\n"),
            std::string::npos);
  for (const char* name :
       {"kata_agent_threads", "kata_agent_total_time", "kata_agent_total_vm", "kata_agent_total_rss",
        "kata_agent_proc_status", "kata_agent_proc_stat", "kata_guest_load", "kata_guest_tasks",
        "kata_guest_cpu_time", "kata_guest_vm_stat", "kata_guest_netdev_stat", "kata_guest_meminfo",
        "kata_guest_filesystem_bytes", "kata_guest_filesystem_inodes"})
    EXPECT_NE(text.find("# TYPE " + std::string(name) + " gauge\n"), std::string::npos) << name;
  EXPECT_NE(text.find("\nkata_guest_cpu_time{cpu=\"total\",item=\"user\"} "), std::string::npos);
}

TEST(Metrics, NothingReadableIsNoError) {
  const std::string text = collect("/nonexistent", 1);
  EXPECT_EQ(text.find("kata_guest"), std::string::npos);
  EXPECT_NE(text.find("kata_agent_scrape_count 1\n"), std::string::npos);
}

}  // namespace
}  // namespace kata::metrics
