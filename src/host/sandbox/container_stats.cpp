#include "host/sandbox/container_stats.h"

namespace kata::sandbox {

ContainerStats to_stats(const agent::ContainerCounters& counters) {
  const auto memory = [](const agent::MemoryData& data) {
    return MemoryCounter{
        .usage = data.usage, .max_usage = data.max_usage, .failcnt = data.failcnt, .limit = data.limit};
  };
  const auto io = [](const std::vector<agent::IoCounter>& entries) {
    std::vector<NamedCounter> result;
    for (const auto& entry : entries) {
      result.push_back({.op = entry.op, .major = entry.major, .minor = entry.minor, .value = entry.value});
    }
    return result;
  };
  ContainerStats stats;
  stats.cpu_total = counters.cpu_total;
  stats.cpu_kernel = counters.cpu_kernel;
  stats.cpu_user = counters.cpu_user;
  stats.per_cpu = counters.per_cpu;
  stats.periods = counters.periods;
  stats.throttled_periods = counters.throttled_periods;
  stats.throttled_time = counters.throttled_time;
  stats.pids_current = counters.pids_current;
  stats.pids_limit = counters.pids_limit;
  stats.cache = counters.cache;
  stats.memory = memory(counters.memory);
  stats.swap = memory(counters.swap);
  stats.kernel = memory(counters.kernel);
  stats.memory_stat = counters.memory_stat;
  stats.io_service_bytes = io(counters.io_service_bytes);
  stats.io_serviced = io(counters.io_serviced);
  for (const auto& [size, value] : counters.hugetlb) {
    stats.hugetlb[size] = {.usage = value.usage, .max_usage = value.max_usage, .failcnt = value.failcnt};
  }
  for (const auto& link : counters.network) {
    stats.network.push_back({link.name, link.rx_bytes, link.rx_packets, link.rx_errors, link.rx_dropped,
                             link.tx_bytes, link.tx_packets, link.tx_errors, link.tx_dropped});
  }
  return stats;
}

}  // namespace kata::sandbox
