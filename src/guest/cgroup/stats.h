// Figures of a cgroup, in the shape that the agent's StatsContainer reports for v1 and v2 alike.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kata::cgroup {

struct CpuStats {
  // Nanoseconds.
  uint64_t total = 0, kernel = 0, user = 0;
  std::vector<uint64_t> per_cpu;
  uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
};

// Bytes; `limit` is UINT64_MAX when there is none.
struct MemoryUsage {
  uint64_t usage = 0, max_usage = 0, failures = 0, limit = 0;
};

struct MemoryStats {
  uint64_t cache = 0;
  // `swap` is memory plus swap, as v1 counts it.
  MemoryUsage usage, swap, kernel;
  bool use_hierarchy = false;
  // memory.stat, line by line.
  std::map<std::string, uint64_t> detail;
};

struct PidsStats {
  // `limit` 0 = none.
  uint64_t current = 0, limit = 0;
};

struct BlockIoEntry {
  uint64_t major = 0, minor = 0;
  // "Read", "Write", ...
  std::string operation;
  uint64_t value = 0;
};

struct BlockIoStats {
  std::vector<BlockIoEntry> bytes, operations, queued, service_time, wait_time, merged, time, sectors;
};

struct HugetlbStats {
  uint64_t usage = 0, max_usage = 0, failures = 0;
};

struct Stats {
  CpuStats cpu;
  MemoryStats memory;
  PidsStats pids;
  BlockIoStats block_io;
  // Key: page size as in "2MB".
  std::map<std::string, HugetlbStats> hugetlb;
};

}  // namespace kata::cgroup
