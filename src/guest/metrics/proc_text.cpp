#include "guest/metrics/proc_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <span>

namespace kata::metrics {
namespace {

// A guest with more CPUs, disks or interfaces than this reports the first ones.
constexpr size_t kMaxGroups = 1024;
constexpr size_t kMaxItems = 1024;

std::string_view next_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view next_word(std::string_view& line) {
  const size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos) return line = {};
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

std::optional<double> number(std::string_view word) {
  // Digits with a point at most; strtod, whose code is there anyway, would take words and hexadecimals too.
  const bool negative = word.starts_with('-');
  const std::string text(word.substr(negative ? 1 : 0));
  if (text.empty() || text == "." || text.find_first_not_of("0123456789.") != std::string::npos)
    return std::nullopt;
  char* stop = nullptr;
  const double size = std::strtod(text.c_str(), &stop);
  if (*stop != '\0') return std::nullopt;
  return negative ? -size : size;
}

// The numbers of the line up to the first word that is none.
std::vector<double> numbers(std::string_view line, size_t limit) {
  std::vector<double> all;
  while (all.size() < limit) {
    const auto value = number(next_word(line));
    if (!value) break;
    all.push_back(*value);
  }
  return all;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Whether a word begins at `at` inside a name written like SReclaimable or DirectMap4k.
bool begins_word(std::string_view name, size_t at) {
  if (at == 0) return false;
  const char before = name[at - 1];
  const char here = name[at];
  if (is_digit(here)) return is_lower(before);
  if (!is_upper(here)) return false;
  return is_lower(before) || (is_upper(before) && at + 1 < name.size() && is_lower(name[at + 1]));
}

std::string meminfo_name(std::string_view key) {
  if (key == "Percpu") return "per_cpu";
  std::string name;
  for (size_t at = 0; at < key.size(); ++at) {
    const char c = key[at];
    if (c == ')') continue;
    if (begins_word(key, at)) name += '_';
    const bool after_digit = at > 0 && is_digit(key[at - 1]);
    if (c == '(') {
      name += '_';
    } else {
      name += is_upper(c) && !after_digit ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (const size_t huge = name.find("huge_pages"); huge != std::string::npos) name.erase(huge + 4, 1);
  return name;
}

Group make_group(std::string name, std::span<const char* const> names, const std::vector<double>& values,
                 double factor = 1) {
  Group group{.name = std::move(name), .items = {}};
  for (size_t i = 0; i < names.size(); ++i)
    group.items.push_back({.name = names[i], .value = i < values.size() ? values[i] * factor : 0});
  return group;
}

constexpr std::array kCpuItems = {"user", "nice",    "system", "idle",  "iowait",
                                  "irq",  "softirq", "steal",  "guest", "guest_nice"};
constexpr std::array kDiskItems = {"reads",
                                   "merged",
                                   "sectors_read",
                                   "time_reading",
                                   "writes",
                                   "writes_merged",
                                   "sectors_written",
                                   "time_writing",
                                   "in_progress",
                                   "time_in_progress",
                                   "weighted_time_in_progress",
                                   "discards",
                                   "discards_merged",
                                   "sectors_discarded",
                                   "time_discarding",
                                   "flushes",
                                   "time_flushing"};
constexpr std::array kNetItems = {"recv_bytes", "recv_packets", "recv_errs",       "recv_drop",
                                  "recv_fifo",  "recv_frame",   "recv_compressed", "recv_multicast",
                                  "sent_bytes", "sent_packets", "sent_errs",       "sent_drop",
                                  "sent_fifo",  "sent_colls",   "sent_carrier",    "sent_compressed"};
// Kernels before 4.18 have no discards.
constexpr size_t kOldDiskItems = 11;

}  // namespace

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  // The name may hold blanks and parentheses: the last one ends it.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = text.substr(name_end + 1);
  rest = rest.substr(0, rest.find('\n'));
  next_word(rest);  // state
  // Field 4 (ppid) is the first of these.
  constexpr size_t kFirst = 4;
  constexpr size_t kLast = 24;
  const std::vector<double> fields = numbers(rest, kLast - kFirst + 1);
  if (fields.size() < kLast - kFirst + 1) return std::nullopt;
  const auto field = [&](size_t n) { return fields[n - kFirst]; };
  return ProcessStat{.user_time = field(14),
                     .system_time = field(15),
                     .children_user_time = field(16),
                     .children_system_time = field(17),
                     .threads = field(20),
                     .virtual_bytes = field(23),
                     .resident_pages = field(24)};
}

std::optional<LoadAverage> parse_load(std::string_view text) {
  std::string_view line = next_line(text);
  const std::vector<double> loads = numbers(line, 3);
  if (loads.size() < 3) return std::nullopt;
  for (int i = 0; i < 3; ++i) next_word(line);
  const std::string_view tasks = next_word(line);
  const size_t slash = tasks.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto running = number(tasks.substr(0, slash));
  const auto all = number(tasks.substr(slash + 1));
  if (!running || !all) return std::nullopt;
  return LoadAverage{
      .one = loads[0], .five = loads[1], .fifteen = loads[2], .running = *running, .tasks = *all};
}

std::vector<Item> parse_status(std::string_view text) {
  std::vector<Item> items;
  while (!text.empty() && items.size() < kMaxItems) {
    std::string_view line = next_line(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    if (!key.starts_with("Vm") && !key.starts_with("Rss") && key != "HugetlbPages" &&
        !key.ends_with("_ctxt_switches"))
      continue;
    line.remove_prefix(colon + 1);
    if (const auto value = number(next_word(line))) items.push_back({.name = lower(key), .value = *value});
  }
  return items;
}

std::vector<Item> parse_pairs(std::string_view text) {
  std::vector<Item> items;
  while (!text.empty() && items.size() < kMaxItems) {
    std::string_view line = next_line(text);
    std::string_view key = next_word(line);
    if (key.ends_with(':')) key.remove_suffix(1);
    const auto value = number(next_word(line));
    if (!key.empty() && value) items.push_back({.name = std::string(key), .value = *value});
  }
  return items;
}

std::vector<Item> parse_meminfo(std::string_view text) {
  std::vector<Item> items;
  while (!text.empty() && items.size() < kMaxItems) {
    std::string_view line = next_line(text);
    std::string_view key = next_word(line);
    if (key.size() < 2 || !key.ends_with(':')) continue;
    key.remove_suffix(1);
    const auto value = number(next_word(line));
    if (!value) continue;
    const double unit = next_word(line) == "kB" ? 1024 : 1;
    items.push_back({.name = meminfo_name(key), .value = *value * unit});
  }
  return items;
}

std::vector<Group> parse_cpu_times(std::string_view text, double ticks_per_second) {
  std::vector<Group> groups;
  while (!text.empty() && groups.size() < kMaxGroups) {
    std::string_view line = next_line(text);
    const std::string_view key = next_word(line);
    if (!key.starts_with("cpu")) continue;
    const std::vector<double> ticks = numbers(line, kCpuItems.size());
    if (ticks.size() < 4) continue;
    std::string name = key == "cpu" ? "total" : std::string(key.substr(3));
    groups.push_back(make_group(std::move(name), kCpuItems, ticks, 1000 / ticks_per_second));
  }
  return groups;
}

std::vector<Group> parse_diskstats(std::string_view text) {
  std::vector<Group> groups;
  while (!text.empty() && groups.size() < kMaxGroups) {
    std::string_view line = next_line(text);
    if (numbers(line, 2).size() < 2) continue;
    next_word(line);
    next_word(line);
    const std::string_view name = next_word(line);
    const std::vector<double> figures = numbers(line, kDiskItems.size());
    if (name.empty() || figures.size() < kOldDiskItems) continue;
    groups.push_back(make_group(std::string(name), kDiskItems, figures));
  }
  return groups;
}

std::vector<Group> parse_net_devices(std::string_view text) {
  std::vector<Group> groups;
  while (!text.empty() && groups.size() < kMaxGroups) {
    std::string_view line = next_line(text);
    // Two header lines have bars instead.
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    std::string_view before = line.substr(0, colon);
    const std::string_view name = next_word(before);
    const std::vector<double> figures = numbers(line.substr(colon + 1), kNetItems.size());
    if (name.empty() || figures.size() < kNetItems.size()) continue;
    groups.push_back(make_group(std::string(name), kNetItems, figures));
  }
  return groups;
}

}  // namespace kata::metrics
