// Readers of the kernel's statistics texts (proc(5)). Lines that do not look as expected are passed over: a
// newer kernel has more of them. No text is trusted to end in a line feed or to hold numbers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kata::metrics {

struct Item {
  std::string name;
  double value = 0;
  bool operator==(const Item&) const = default;
};

// The items of one CPU, disk or interface.
struct Group {
  std::string name;
  std::vector<Item> items;
  bool operator==(const Group&) const = default;
};

// /proc/<pid>/stat. Times in clock ticks, memory as the kernel gives it: bytes and pages.
struct ProcessStat {
  double user_time = 0, system_time = 0, children_user_time = 0, children_system_time = 0;
  double threads = 0, virtual_bytes = 0, resident_pages = 0;
};
std::optional<ProcessStat> parse_process_stat(std::string_view text);

struct LoadAverage {
  double one = 0, five = 0, fifteen = 0;
  // Runnable and existing tasks.
  double running = 0, tasks = 0;
};
std::optional<LoadAverage> parse_load(std::string_view text);

// /proc/<pid>/status: memory (kB, as the kernel prints it) and context switches, names in lower case.
std::vector<Item> parse_status(std::string_view text);
// "name value" or "name: value" a line: /proc/<pid>/io, /proc/vmstat.
std::vector<Item> parse_pairs(std::string_view text);
// /proc/meminfo in bytes (huge pages: counts); "SReclaimable" becomes "s_reclaimable", "Active(anon)"
// "active_anon".
std::vector<Item> parse_meminfo(std::string_view text);
// /proc/stat's CPU lines in milliseconds: "total", "0", "1", ...
std::vector<Group> parse_cpu_times(std::string_view text, double ticks_per_second);
// /proc/diskstats.
std::vector<Group> parse_diskstats(std::string_view text);
// /proc/net/dev.
std::vector<Group> parse_net_devices(std::string_view text);

}  // namespace kata::metrics
