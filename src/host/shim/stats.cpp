#include "host/shim/stats.h"

#include <array>
#include <initializer_list>
#include <linux/magic.h>
#include <map>
#include <string_view>
#include <sys/vfs.h>
#include <utility>

namespace kata::shim {
namespace {

namespace v1 = io::containerd::cgroups::v1;
namespace v2 = io::containerd::cgroups::v2;

constexpr uint64_t kNanosPerMicro = 1000;

// One memory counter: its setter and the names under which a guest may give it, best first.
template <typename Stat>
struct MemoryName {
  void (Stat::*set)(uint64_t);
  std::array<std::string_view, 3> names;
};

using V1 = v1::MemoryStat;
constexpr MemoryName<V1> kV1Names[] = {
    {&V1::set_cache, {"cache", "file"}},
    {&V1::set_rss, {"rss", "anon"}},
    {&V1::set_rss_huge, {"rss_huge", "anon_thp"}},
    {&V1::set_mapped_file, {"mapped_file", "file_mapped"}},
    {&V1::set_dirty, {"dirty", "file_dirty"}},
    {&V1::set_writeback, {"writeback", "file_writeback"}},
    {&V1::set_pg_pg_in, {"pgpgin"}},
    {&V1::set_pg_pg_out, {"pgpgout"}},
    {&V1::set_pg_fault, {"pgfault"}},
    {&V1::set_pg_maj_fault, {"pgmajfault"}},
    {&V1::set_inactive_anon, {"inactive_anon"}},
    {&V1::set_active_anon, {"active_anon"}},
    {&V1::set_inactive_file, {"inactive_file"}},
    {&V1::set_active_file, {"active_file"}},
    {&V1::set_unevictable, {"unevictable"}},
    {&V1::set_hierarchical_memory_limit, {"hierarchical_memory_limit"}},
    {&V1::set_hierarchical_swap_limit, {"hierarchical_memsw_limit"}},
    {&V1::set_total_cache, {"total_cache", "cache", "file"}},
    {&V1::set_total_rss, {"total_rss", "rss", "anon"}},
    {&V1::set_total_rss_huge, {"total_rss_huge", "rss_huge", "anon_thp"}},
    {&V1::set_total_mapped_file, {"total_mapped_file", "mapped_file", "file_mapped"}},
    {&V1::set_total_dirty, {"total_dirty", "dirty", "file_dirty"}},
    {&V1::set_total_writeback, {"total_writeback", "writeback", "file_writeback"}},
    {&V1::set_total_pg_pg_in, {"total_pgpgin", "pgpgin"}},
    {&V1::set_total_pg_pg_out, {"total_pgpgout", "pgpgout"}},
    {&V1::set_total_pg_fault, {"total_pgfault", "pgfault"}},
    {&V1::set_total_pg_maj_fault, {"total_pgmajfault", "pgmajfault"}},
    {&V1::set_total_inactive_anon, {"total_inactive_anon", "inactive_anon"}},
    {&V1::set_total_active_anon, {"total_active_anon", "active_anon"}},
    {&V1::set_total_inactive_file, {"total_inactive_file", "inactive_file"}},
    {&V1::set_total_active_file, {"total_active_file", "active_file"}},
    {&V1::set_total_unevictable, {"total_unevictable", "unevictable"}},
};

using V2 = v2::MemoryStat;
constexpr MemoryName<V2> kV2Names[] = {
    {&V2::set_anon, {"anon", "total_rss", "rss"}},
    {&V2::set_file, {"file", "total_cache", "cache"}},
    {&V2::set_kernel_stack, {"kernel_stack"}},
    {&V2::set_slab, {"slab"}},
    {&V2::set_sock, {"sock"}},
    {&V2::set_shmem, {"shmem", "total_shmem"}},
    {&V2::set_file_mapped, {"file_mapped", "total_mapped_file", "mapped_file"}},
    {&V2::set_file_dirty, {"file_dirty", "total_dirty", "dirty"}},
    {&V2::set_file_writeback, {"file_writeback", "total_writeback", "writeback"}},
    {&V2::set_anon_thp, {"anon_thp", "total_rss_huge", "rss_huge"}},
    {&V2::set_inactive_anon, {"total_inactive_anon", "inactive_anon"}},
    {&V2::set_active_anon, {"total_active_anon", "active_anon"}},
    {&V2::set_inactive_file, {"total_inactive_file", "inactive_file"}},
    {&V2::set_active_file, {"total_active_file", "active_file"}},
    {&V2::set_unevictable, {"total_unevictable", "unevictable"}},
    {&V2::set_slab_reclaimable, {"slab_reclaimable"}},
    {&V2::set_slab_unreclaimable, {"slab_unreclaimable"}},
    {&V2::set_pgfault, {"total_pgfault", "pgfault"}},
    {&V2::set_pgmajfault, {"total_pgmajfault", "pgmajfault"}},
    {&V2::set_workingset_refault, {"workingset_refault", "workingset_refault_file"}},
    {&V2::set_workingset_activate, {"workingset_activate", "workingset_activate_file"}},
    {&V2::set_workingset_nodereclaim, {"workingset_nodereclaim"}},
    {&V2::set_pgrefill, {"pgrefill"}},
    {&V2::set_pgscan, {"pgscan"}},
    {&V2::set_pgsteal, {"pgsteal"}},
    {&V2::set_pgactivate, {"pgactivate"}},
    {&V2::set_pgdeactivate, {"pgdeactivate"}},
    {&V2::set_pglazyfree, {"pglazyfree"}},
    {&V2::set_pglazyfreed, {"pglazyfreed"}},
    {&V2::set_thp_fault_alloc, {"thp_fault_alloc"}},
    {&V2::set_thp_collapse_alloc, {"thp_collapse_alloc"}},
};

template <typename Stat, size_t count>
void fill(Stat& out, const std::map<std::string, uint64_t>& counters,
          const MemoryName<Stat> (&table)[count]) {
  for (const MemoryName<Stat>& row : table) {
    for (const std::string_view name : row.names) {
      const auto found = name.empty() ? counters.end() : counters.find(std::string(name));
      if (found == counters.end()) continue;
      (out.*row.set)(found->second);
      break;
    }
  }
}

void set_entry(v1::MemoryEntry& entry, const sandbox::MemoryCounter& counter) {
  entry.set_limit(counter.limit);
  entry.set_usage(counter.usage);
  entry.set_max(counter.max_usage);
  entry.set_failcnt(counter.failcnt);
}

template <typename Entries>
void add_entries(Entries& out, const std::vector<sandbox::NamedCounter>& counters) {
  for (const sandbox::NamedCounter& counter : counters) {
    v1::BlkIOEntry& entry = *out.Add();
    entry.set_op(counter.op);
    entry.set_major(counter.major);
    entry.set_minor(counter.minor);
    entry.set_value(counter.value);
  }
}

template <typename Metrics>
void add_network(Metrics& metrics, const std::vector<sandbox::NetworkCounter>& counters) {
  for (const sandbox::NetworkCounter& counter : counters) {
    auto& entry = *metrics.add_network();
    entry.set_name(counter.name);
    entry.set_rx_bytes(counter.rx_bytes);
    entry.set_rx_packets(counter.rx_packets);
    entry.set_rx_errors(counter.rx_errors);
    entry.set_rx_dropped(counter.rx_dropped);
    entry.set_tx_bytes(counter.tx_bytes);
    entry.set_tx_packets(counter.tx_packets);
    entry.set_tx_errors(counter.tx_errors);
    entry.set_tx_dropped(counter.tx_dropped);
  }
}

template <typename Metrics>
void add_pids(Metrics& metrics, const sandbox::ContainerStats& stats) {
  metrics.mutable_pids()->set_current(stats.pids_current);
  metrics.mutable_pids()->set_limit(stats.pids_limit);
}

template <typename Metrics>
void add_hugetlb(Metrics& metrics, const sandbox::ContainerStats& stats) {
  for (const auto& [size, counter] : stats.hugetlb) {
    auto& entry = *metrics.add_hugetlb();
    entry.set_pagesize(size);
    entry.set_max(counter.max_usage);
    entry.set_failcnt(counter.failcnt);
    if constexpr (requires { entry.set_usage(counter.usage); }) {
      entry.set_usage(counter.usage);
    } else {
      entry.set_current(counter.usage);
    }
  }
}

bool is_read(std::string_view op) {
  return op == "Read" || op == "read" || op == "rbytes" || op == "rios";
}
bool is_write(std::string_view op) {
  return op == "Write" || op == "write" || op == "wbytes" || op == "wios";
}

// v2 has one entry per disk where v1 has one per disk and operation.
void add_io(v2::IOStat& out, const sandbox::ContainerStats& stats) {
  std::map<std::pair<uint64_t, uint64_t>, v2::IOEntry> disks;
  for (const sandbox::NamedCounter& counter : stats.io_service_bytes) {
    v2::IOEntry& entry = disks[{counter.major, counter.minor}];
    if (is_read(counter.op)) entry.set_rbytes(counter.value);
    if (is_write(counter.op)) entry.set_wbytes(counter.value);
  }
  for (const sandbox::NamedCounter& counter : stats.io_serviced) {
    v2::IOEntry& entry = disks[{counter.major, counter.minor}];
    if (is_read(counter.op)) entry.set_rios(counter.value);
    if (is_write(counter.op)) entry.set_wios(counter.value);
  }
  for (auto& [number, entry] : disks) {
    entry.set_major(number.first);
    entry.set_minor(number.second);
    *out.add_usage() = std::move(entry);
  }
}

}  // namespace

CgroupVersion host_cgroup_version() {
  struct statfs info{};
  const bool unified =
      ::statfs("/sys/fs/cgroup", &info) == 0 &&
      static_cast<unsigned long>(info.f_type) == static_cast<unsigned long>(CGROUP2_SUPER_MAGIC);
  return unified ? CgroupVersion::kV2 : CgroupVersion::kV1;
}

v1::Metrics to_metrics_v1(const sandbox::ContainerStats& stats, uint64_t oom_kills) {
  v1::Metrics metrics;
  add_pids(metrics, stats);
  add_hugetlb(metrics, stats);
  add_network(metrics, stats.network);
  v1::CPUUsage& usage = *metrics.mutable_cpu()->mutable_usage();
  usage.set_total(stats.cpu_total);
  usage.set_kernel(stats.cpu_kernel);
  usage.set_user(stats.cpu_user);
  for (const uint64_t cpu : stats.per_cpu) usage.add_per_cpu(cpu);
  v1::Throttle& throttling = *metrics.mutable_cpu()->mutable_throttling();
  throttling.set_periods(stats.periods);
  throttling.set_throttled_periods(stats.throttled_periods);
  throttling.set_throttled_time(stats.throttled_time);

  v1::MemoryStat& memory = *metrics.mutable_memory();
  fill(memory, stats.memory_stat, kV1Names);
  if (memory.cache() == 0) memory.set_cache(stats.cache);
  set_entry(*memory.mutable_usage(), stats.memory);
  set_entry(*memory.mutable_swap(), stats.swap);
  set_entry(*memory.mutable_kernel(), stats.kernel);
  metrics.mutable_memory_oom_control()->set_oom_kill(oom_kills);
  add_entries(*metrics.mutable_blkio()->mutable_io_service_bytes_recursive(), stats.io_service_bytes);
  add_entries(*metrics.mutable_blkio()->mutable_io_serviced_recursive(), stats.io_serviced);
  return metrics;
}

v2::Metrics to_metrics_v2(const sandbox::ContainerStats& stats, uint64_t oom_kills) {
  v2::Metrics metrics;
  add_pids(metrics, stats);
  add_hugetlb(metrics, stats);
  add_network(metrics, stats.network);
  v2::CPUStat& cpu = *metrics.mutable_cpu();
  cpu.set_usage_usec(stats.cpu_total / kNanosPerMicro);
  cpu.set_user_usec(stats.cpu_user / kNanosPerMicro);
  cpu.set_system_usec(stats.cpu_kernel / kNanosPerMicro);
  cpu.set_nr_periods(stats.periods);
  cpu.set_nr_throttled(stats.throttled_periods);
  cpu.set_throttled_usec(stats.throttled_time / kNanosPerMicro);

  v2::MemoryStat& memory = *metrics.mutable_memory();
  fill(memory, stats.memory_stat, kV2Names);
  if (memory.file() == 0) memory.set_file(stats.cache);
  memory.set_usage(stats.memory.usage);
  memory.set_usage_limit(stats.memory.limit);
  memory.set_max_usage(stats.memory.max_usage);
  memory.set_swap_usage(stats.swap.usage);
  memory.set_swap_limit(stats.swap.limit);
  memory.set_swap_max_usage(stats.swap.max_usage);
  metrics.mutable_memory_events()->set_max(stats.memory.failcnt);
  metrics.mutable_memory_events()->set_oom(oom_kills);
  metrics.mutable_memory_events()->set_oom_kill(oom_kills);
  add_io(*metrics.mutable_io(), stats);
  return metrics;
}

google::protobuf::Any to_metrics(CgroupVersion version, const sandbox::ContainerStats& stats,
                                 uint64_t oom_kills) {
  google::protobuf::Any any;
  if (version == CgroupVersion::kV1) {
    any.set_type_url("io.containerd.cgroups.v1.Metrics");
    any.set_value(to_metrics_v1(stats, oom_kills).SerializeAsString());
  } else {
    any.set_type_url("io.containerd.cgroups.v2.Metrics");
    any.set_value(to_metrics_v2(stats, oom_kills).SerializeAsString());
  }
  return any;
}

}  // namespace kata::shim
