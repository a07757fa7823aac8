#include <limits>

#include <unistd.h>

#include "guest/cgroup/parse.h"
#include "guest/cgroup/v1.h"

namespace kata::cgroup {
namespace {

using Values = std::map<std::string, uint64_t>;

uint64_t value_of(const Values& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? 0 : found->second;
}

Values keyed(const Folder& folder, const char* file) {
  return parse_keyed(folder.read_if_there(file).value_or(""));
}

void read_cpuacct(const Folder& folder, CpuStats& stats) {
  stats.total = folder.number("cpuacct.usage");
  stats.per_cpu = parse_numbers(folder.read_if_there("cpuacct.usage_percpu").value_or(""));
  const Values ticks = keyed(folder, "cpuacct.stat");
  const auto nanoseconds = 1000000000ULL / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  stats.user = value_of(ticks, "user") * nanoseconds;
  stats.kernel = value_of(ticks, "system") * nanoseconds;
}

void read_cpu(const Folder& folder, CpuStats& stats) {
  const Values values = keyed(folder, "cpu.stat");
  stats.periods = value_of(values, "nr_periods");
  stats.throttled_periods = value_of(values, "nr_throttled");
  stats.throttled_ns = value_of(values, "throttled_time");
}

MemoryUsage usage_of(const Folder& folder, const std::string& prefix) {
  return {.usage = folder.number(prefix + "usage_in_bytes"),
          .max_usage = folder.number(prefix + "max_usage_in_bytes"),
          .failures = folder.number(prefix + "failcnt"),
          .limit = folder.number(prefix + "limit_in_bytes")};
}

MemoryStats read_memory(const Folder& folder) {
  MemoryStats stats;
  stats.detail = keyed(folder, "memory.stat");
  stats.cache = value_of(stats.detail, "cache");
  stats.usage = usage_of(folder, "memory.");
  stats.swap = usage_of(folder, "memory.memsw.");
  stats.kernel = usage_of(folder, "memory.kmem.");
  stats.use_hierarchy = folder.number("memory.use_hierarchy") == 1;
  return stats;
}

std::vector<BlockIoEntry> blkio(const Folder& folder, const char* first, const char* second) {
  auto entries = parse_blkio(folder.read_if_there(first).value_or(""));
  return entries.empty() ? parse_blkio(folder.read_if_there(second).value_or("")) : entries;
}

// The scheduler's counters where there is one that has them, else those of throttling.
BlockIoStats read_blkio(const Folder& folder) {
  BlockIoStats stats;
  stats.bytes =
      blkio(folder, "blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive");
  stats.operations = blkio(folder, "blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive");
  stats.queued = blkio(folder, "blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive");
  stats.service_time =
      blkio(folder, "blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive");
  stats.wait_time = blkio(folder, "blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive");
  stats.merged = blkio(folder, "blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive");
  stats.time = blkio(folder, "blkio.bfq.time_recursive", "blkio.time_recursive");
  stats.sectors = blkio(folder, "blkio.bfq.sectors_recursive", "blkio.sectors_recursive");
  return stats;
}

std::map<std::string, HugetlbStats> read_hugetlb(const Folder& folder) {
  std::map<std::string, HugetlbStats> stats;
  for (const char* size : {"64KB", "2MB", "32MB", "512MB", "1GB", "16GB"}) {
    const std::string prefix = std::string("hugetlb.") + size + ".";
    if (!folder.has(prefix + "usage_in_bytes")) continue;
    stats[size] = {.usage = folder.number(prefix + "usage_in_bytes"),
                   .max_usage = folder.number(prefix + "max_usage_in_bytes"),
                   .failures = folder.number(prefix + "failcnt")};
  }
  return stats;
}

}  // namespace

Stats read_v1_stats(const V1Folders& folders) {
  Stats stats;
  const auto with = [&](const char* controller, auto read) {
    if (const auto found = folders.find(controller); found != folders.end()) read(found->second);
  };
  with("cpuacct", [&](const Folder& folder) { read_cpuacct(folder, stats.cpu); });
  with("cpu", [&](const Folder& folder) { read_cpu(folder, stats.cpu); });
  with("memory", [&](const Folder& folder) { stats.memory = read_memory(folder); });
  with("pids", [&](const Folder& folder) {
    const uint64_t limit = folder.number("pids.max");
    stats.pids = {.current = folder.number("pids.current"),
                  .limit = limit == std::numeric_limits<uint64_t>::max() ? 0 : limit};
  });
  with("blkio", [&](const Folder& folder) { stats.block_io = read_blkio(folder); });
  with("hugetlb", [&](const Folder& folder) { stats.hugetlb = read_hugetlb(folder); });
  return stats;
}

}  // namespace kata::cgroup
