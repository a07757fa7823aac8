// Wire contract with containerd: the statistics of both cgroup versions.
// Numbers and types are those of the published interface, stated here a second time.
#include "containerd/cgroups_v1.pb.h"
#include "containerd/cgroups_v2.pb.h"
#include "wire_test.h"

namespace kata::proto_wire {
namespace {

TEST(CgroupsWireTest, V1Metrics) {
  using M = io::containerd::cgroups::v1::Metrics;
  Fields<M>()
      .subs<io::containerd::cgroups::v1::HugetlbStat>(1, &M::hugetlb)
      .sub<io::containerd::cgroups::v1::PidsStat>(2, &M::pids, &M::has_pids)
      .sub<io::containerd::cgroups::v1::CPUStat>(3, &M::cpu, &M::has_cpu)
      .sub<io::containerd::cgroups::v1::MemoryStat>(4, &M::memory, &M::has_memory)
      .sub<io::containerd::cgroups::v1::BlkIOStat>(5, &M::blkio, &M::has_blkio)
      .sub<io::containerd::cgroups::v1::RdmaStat>(6, &M::rdma, &M::has_rdma)
      .subs<io::containerd::cgroups::v1::NetworkStat>(7, &M::network)
      .sub<io::containerd::cgroups::v1::CgroupStats>(8, &M::cgroup_stats, &M::has_cgroup_stats)
      .sub<io::containerd::cgroups::v1::MemoryOomControl>(9, &M::memory_oom_control,
                                                          &M::has_memory_oom_control);
}

TEST(CgroupsWireTest, V1HugetlbStat) {
  using M = io::containerd::cgroups::v1::HugetlbStat;
  Fields<M>().u64(1, &M::usage).u64(2, &M::max).u64(3, &M::failcnt).text(4, &M::pagesize);
}

TEST(CgroupsWireTest, V1PidsStat) {
  using M = io::containerd::cgroups::v1::PidsStat;
  Fields<M>().u64(1, &M::current).u64(2, &M::limit);
}

TEST(CgroupsWireTest, V1CPUStat) {
  using M = io::containerd::cgroups::v1::CPUStat;
  Fields<M>()
      .sub<io::containerd::cgroups::v1::CPUUsage>(1, &M::usage, &M::has_usage)
      .sub<io::containerd::cgroups::v1::Throttle>(2, &M::throttling, &M::has_throttling);
}

TEST(CgroupsWireTest, V1CPUUsage) {
  using M = io::containerd::cgroups::v1::CPUUsage;
  Fields<M>().u64(1, &M::total).u64(2, &M::kernel).u64(3, &M::user).u64s(4, &M::per_cpu);
}

TEST(CgroupsWireTest, V1Throttle) {
  using M = io::containerd::cgroups::v1::Throttle;
  Fields<M>().u64(1, &M::periods).u64(2, &M::throttled_periods).u64(3, &M::throttled_time);
}

TEST(CgroupsWireTest, V1MemoryStat) {
  using M = io::containerd::cgroups::v1::MemoryStat;
  Fields<M>()
      .u64(1, &M::cache)
      .u64(2, &M::rss)
      .u64(3, &M::rss_huge)
      .u64(4, &M::mapped_file)
      .u64(5, &M::dirty)
      .u64(6, &M::writeback)
      .u64(7, &M::pg_pg_in)
      .u64(8, &M::pg_pg_out)
      .u64(9, &M::pg_fault)
      .u64(10, &M::pg_maj_fault)
      .u64(11, &M::inactive_anon)
      .u64(12, &M::active_anon)
      .u64(13, &M::inactive_file)
      .u64(14, &M::active_file)
      .u64(15, &M::unevictable)
      .u64(16, &M::hierarchical_memory_limit)
      .u64(17, &M::hierarchical_swap_limit)
      .u64(18, &M::total_cache)
      .u64(19, &M::total_rss)
      .u64(20, &M::total_rss_huge)
      .u64(21, &M::total_mapped_file)
      .u64(22, &M::total_dirty)
      .u64(23, &M::total_writeback)
      .u64(24, &M::total_pg_pg_in)
      .u64(25, &M::total_pg_pg_out)
      .u64(26, &M::total_pg_fault)
      .u64(27, &M::total_pg_maj_fault)
      .u64(28, &M::total_inactive_anon)
      .u64(29, &M::total_active_anon)
      .u64(30, &M::total_inactive_file)
      .u64(31, &M::total_active_file)
      .u64(32, &M::total_unevictable)
      .sub<io::containerd::cgroups::v1::MemoryEntry>(33, &M::usage, &M::has_usage)
      .sub<io::containerd::cgroups::v1::MemoryEntry>(34, &M::swap, &M::has_swap)
      .sub<io::containerd::cgroups::v1::MemoryEntry>(35, &M::kernel, &M::has_kernel)
      .sub<io::containerd::cgroups::v1::MemoryEntry>(36, &M::kernel_tcp, &M::has_kernel_tcp);
}

TEST(CgroupsWireTest, V1MemoryEntry) {
  using M = io::containerd::cgroups::v1::MemoryEntry;
  Fields<M>().u64(1, &M::limit).u64(2, &M::usage).u64(3, &M::max).u64(4, &M::failcnt);
}

TEST(CgroupsWireTest, V1MemoryOomControl) {
  using M = io::containerd::cgroups::v1::MemoryOomControl;
  Fields<M>().u64(1, &M::oom_kill_disable).u64(2, &M::under_oom).u64(3, &M::oom_kill);
}

TEST(CgroupsWireTest, V1BlkIOStat) {
  using M = io::containerd::cgroups::v1::BlkIOStat;
  Fields<M>()
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(1, &M::io_service_bytes_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(2, &M::io_serviced_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(3, &M::io_queued_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(4, &M::io_service_time_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(5, &M::io_wait_time_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(6, &M::io_merged_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(7, &M::io_time_recursive)
      .subs<io::containerd::cgroups::v1::BlkIOEntry>(8, &M::sectors_recursive);
}

TEST(CgroupsWireTest, V1BlkIOEntry) {
  using M = io::containerd::cgroups::v1::BlkIOEntry;
  Fields<M>().text(1, &M::op).text(2, &M::device).u64(3, &M::major).u64(4, &M::minor).u64(5, &M::value);
}

TEST(CgroupsWireTest, V1RdmaStat) {
  using M = io::containerd::cgroups::v1::RdmaStat;
  Fields<M>()
      .subs<io::containerd::cgroups::v1::RdmaEntry>(1, &M::current)
      .subs<io::containerd::cgroups::v1::RdmaEntry>(2, &M::limit);
}

TEST(CgroupsWireTest, V1RdmaEntry) {
  using M = io::containerd::cgroups::v1::RdmaEntry;
  Fields<M>().text(1, &M::device).u32(2, &M::hca_handles).u32(3, &M::hca_objects);
}

TEST(CgroupsWireTest, V1NetworkStat) {
  using M = io::containerd::cgroups::v1::NetworkStat;
  Fields<M>()
      .text(1, &M::name)
      .u64(2, &M::rx_bytes)
      .u64(3, &M::rx_packets)
      .u64(4, &M::rx_errors)
      .u64(5, &M::rx_dropped)
      .u64(6, &M::tx_bytes)
      .u64(7, &M::tx_packets)
      .u64(8, &M::tx_errors)
      .u64(9, &M::tx_dropped);
}

TEST(CgroupsWireTest, V1CgroupStats) {
  using M = io::containerd::cgroups::v1::CgroupStats;
  Fields<M>()
      .u64(1, &M::nr_sleeping)
      .u64(2, &M::nr_running)
      .u64(3, &M::nr_stopped)
      .u64(4, &M::nr_uninterruptible)
      .u64(5, &M::nr_io_wait);
}

TEST(CgroupsWireTest, V2Metrics) {
  using M = io::containerd::cgroups::v2::Metrics;
  Fields<M>()
      .sub<io::containerd::cgroups::v2::PidsStat>(1, &M::pids, &M::has_pids)
      .sub<io::containerd::cgroups::v2::CPUStat>(2, &M::cpu, &M::has_cpu)
      .sub<io::containerd::cgroups::v2::MemoryStat>(4, &M::memory, &M::has_memory)
      .sub<io::containerd::cgroups::v2::RdmaStat>(5, &M::rdma, &M::has_rdma)
      .sub<io::containerd::cgroups::v2::IOStat>(6, &M::io, &M::has_io)
      .subs<io::containerd::cgroups::v2::HugeTlbStat>(7, &M::hugetlb)
      .sub<io::containerd::cgroups::v2::MemoryEvents>(8, &M::memory_events, &M::has_memory_events)
      .subs<io::containerd::cgroups::v2::NetworkStat>(9, &M::network);
}

TEST(CgroupsWireTest, V2PSIData) {
  using M = io::containerd::cgroups::v2::PSIData;
  Fields<M>().real(1, &M::avg10).real(2, &M::avg60).real(3, &M::avg300).u64(4, &M::total);
}

TEST(CgroupsWireTest, V2PSIStats) {
  using M = io::containerd::cgroups::v2::PSIStats;
  Fields<M>()
      .sub<io::containerd::cgroups::v2::PSIData>(1, &M::some, &M::has_some)
      .sub<io::containerd::cgroups::v2::PSIData>(2, &M::full, &M::has_full);
}

TEST(CgroupsWireTest, V2PidsStat) {
  using M = io::containerd::cgroups::v2::PidsStat;
  Fields<M>().u64(1, &M::current).u64(2, &M::limit);
}

TEST(CgroupsWireTest, V2CPUStat) {
  using M = io::containerd::cgroups::v2::CPUStat;
  Fields<M>()
      .u64(1, &M::usage_usec)
      .u64(2, &M::user_usec)
      .u64(3, &M::system_usec)
      .u64(4, &M::nr_periods)
      .u64(5, &M::nr_throttled)
      .u64(6, &M::throttled_usec)
      .sub<io::containerd::cgroups::v2::PSIStats>(7, &M::psi, &M::has_psi)
      .u64(8, &M::nr_bursts)
      .u64(9, &M::burst_usec);
}

TEST(CgroupsWireTest, V2MemoryStat) {
  using M = io::containerd::cgroups::v2::MemoryStat;
  Fields<M>()
      .u64(1, &M::anon)
      .u64(2, &M::file)
      .u64(3, &M::kernel_stack)
      .u64(4, &M::slab)
      .u64(5, &M::sock)
      .u64(6, &M::shmem)
      .u64(7, &M::file_mapped)
      .u64(8, &M::file_dirty)
      .u64(9, &M::file_writeback)
      .u64(10, &M::anon_thp)
      .u64(11, &M::inactive_anon)
      .u64(12, &M::active_anon)
      .u64(13, &M::inactive_file)
      .u64(14, &M::active_file)
      .u64(15, &M::unevictable)
      .u64(16, &M::slab_reclaimable)
      .u64(17, &M::slab_unreclaimable)
      .u64(18, &M::pgfault)
      .u64(19, &M::pgmajfault)
      .u64(20, &M::workingset_refault)
      .u64(21, &M::workingset_activate)
      .u64(22, &M::workingset_nodereclaim)
      .u64(23, &M::pgrefill)
      .u64(24, &M::pgscan)
      .u64(25, &M::pgsteal)
      .u64(26, &M::pgactivate)
      .u64(27, &M::pgdeactivate)
      .u64(28, &M::pglazyfree)
      .u64(29, &M::pglazyfreed)
      .u64(30, &M::thp_fault_alloc)
      .u64(31, &M::thp_collapse_alloc)
      .u64(32, &M::usage)
      .u64(33, &M::usage_limit)
      .u64(34, &M::swap_usage)
      .u64(35, &M::swap_limit)
      .u64(36, &M::max_usage)
      .u64(37, &M::swap_max_usage)
      .sub<io::containerd::cgroups::v2::PSIStats>(38, &M::psi, &M::has_psi);
}

TEST(CgroupsWireTest, V2MemoryEvents) {
  using M = io::containerd::cgroups::v2::MemoryEvents;
  Fields<M>()
      .u64(1, &M::low)
      .u64(2, &M::high)
      .u64(3, &M::max)
      .u64(4, &M::oom)
      .u64(5, &M::oom_kill)
      .u64(6, &M::oom_group_kill);
}

TEST(CgroupsWireTest, V2RdmaStat) {
  using M = io::containerd::cgroups::v2::RdmaStat;
  Fields<M>()
      .subs<io::containerd::cgroups::v2::RdmaEntry>(1, &M::current)
      .subs<io::containerd::cgroups::v2::RdmaEntry>(2, &M::limit);
}

TEST(CgroupsWireTest, V2RdmaEntry) {
  using M = io::containerd::cgroups::v2::RdmaEntry;
  Fields<M>().text(1, &M::device).u32(2, &M::hca_handles).u32(3, &M::hca_objects);
}

TEST(CgroupsWireTest, V2IOStat) {
  using M = io::containerd::cgroups::v2::IOStat;
  Fields<M>()
      .subs<io::containerd::cgroups::v2::IOEntry>(1, &M::usage)
      .sub<io::containerd::cgroups::v2::PSIStats>(2, &M::psi, &M::has_psi);
}

TEST(CgroupsWireTest, V2IOEntry) {
  using M = io::containerd::cgroups::v2::IOEntry;
  Fields<M>()
      .u64(1, &M::major)
      .u64(2, &M::minor)
      .u64(3, &M::rbytes)
      .u64(4, &M::wbytes)
      .u64(5, &M::rios)
      .u64(6, &M::wios);
}

TEST(CgroupsWireTest, V2HugeTlbStat) {
  using M = io::containerd::cgroups::v2::HugeTlbStat;
  Fields<M>().u64(1, &M::current).u64(2, &M::max).text(3, &M::pagesize).u64(4, &M::failcnt);
}

TEST(CgroupsWireTest, V2NetworkStat) {
  using M = io::containerd::cgroups::v2::NetworkStat;
  Fields<M>()
      .text(1, &M::name)
      .u64(2, &M::rx_bytes)
      .u64(3, &M::rx_packets)
      .u64(4, &M::rx_errors)
      .u64(5, &M::rx_dropped)
      .u64(6, &M::tx_bytes)
      .u64(7, &M::tx_packets)
      .u64(8, &M::tx_errors)
      .u64(9, &M::tx_dropped);
}

}  // namespace
}  // namespace kata::proto_wire
