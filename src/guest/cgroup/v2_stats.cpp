#include <algorithm>
#include <array>
#include <limits>
#include <memory>

#include <dirent.h>

#include "guest/cgroup/parse.h"
#include "guest/cgroup/v2.h"

namespace kata::cgroup {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

uint64_t value_of(const std::map<std::string, uint64_t>& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? 0 : found->second;
}

CpuStats cpu_stats(const Folder& folder) {
  const auto values = parse_keyed(folder.read_if_there("cpu.stat").value_or(""));
  CpuStats stats;
  stats.total = value_of(values, "usage_usec") * 1000;
  stats.user = value_of(values, "user_usec") * 1000;
  stats.kernel = value_of(values, "system_usec") * 1000;
  stats.periods = value_of(values, "nr_periods");
  stats.throttled_periods = value_of(values, "nr_throttled");
  stats.throttled_ns = value_of(values, "throttled_usec") * 1000;
  return stats;
}

uint64_t sum(uint64_t a, uint64_t b) {
  return a > kNoLimit - b ? kNoLimit : a + b;
}

MemoryStats memory_stats(const Folder& folder) {
  MemoryStats stats;
  const auto text = folder.read_if_there("memory.stat");
  if (!text) return stats;
  stats.detail = parse_keyed(*text);
  stats.cache = value_of(stats.detail, "file");
  stats.use_hierarchy = true;
  const auto events = parse_keyed(folder.read_if_there("memory.events").value_or(""));
  stats.usage = {.usage = folder.number("memory.current"),
                 .max_usage = folder.number("memory.peak"),
                 .failures = value_of(events, "max"),
                 .limit = folder.number("memory.max")};
  // v1 counts memory and swap together.
  stats.swap.usage = sum(stats.usage.usage, folder.number("memory.swap.current"));
  stats.swap.limit = folder.has("memory.swap.max") ? sum(stats.usage.limit, folder.number("memory.swap.max"))
                                                   : stats.usage.limit;
  stats.kernel.usage = value_of(stats.detail, "kernel");
  stats.kernel.limit = kNoLimit;
  return stats;
}

std::map<std::string, HugetlbStats> hugetlb_stats(const Folder& folder) {
  std::map<std::string, HugetlbStats> stats;
  for (const char* size : {"64KB", "2MB", "32MB", "512MB", "1GB", "16GB"}) {
    const std::string prefix = std::string("hugetlb.") + size;
    if (!folder.has(prefix + ".current")) continue;
    const auto events = parse_keyed(folder.read_if_there(prefix + ".events").value_or(""));
    stats[size] = {
        .usage = folder.number(prefix + ".current"), .max_usage = 0, .failures = value_of(events, "max")};
  }
  return stats;
}

}  // namespace

Stats read_v2_stats(const Folder& folder) {
  Stats stats;
  stats.cpu = cpu_stats(folder);
  stats.memory = memory_stats(folder);
  const uint64_t limit = folder.number("pids.max");
  stats.pids = {.current = folder.number("pids.current"), .limit = limit == kNoLimit ? 0 : limit};
  parse_io_stat(folder.read_if_there("io.stat").value_or(""), stats.block_io);
  stats.hugetlb = hugetlb_stats(folder);
  return stats;
}

}  // namespace kata::cgroup
