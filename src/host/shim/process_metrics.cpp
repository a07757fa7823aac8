#include "host/shim/process_metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>

#include <dirent.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/text/case.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxProcFile = 65536;

class Gauges {
 public:
  explicit Gauges(std::string_view prefix) : prefix_(prefix) {}

  void family(std::string_view name, std::string_view help) {
    name_ = prefix_ + std::string(name);
    text_.append("# HELP ").append(name_).append(" ").append(help).append("\n# TYPE ").append(name_);
    text_ += " gauge\n";
  }
  void value(uint64_t value) { text_.append(name_).append(" ").append(std::to_string(value)).append("\n"); }
  void item(std::string_view item, uint64_t value) {
    text_.append(name_)
        .append("{item=\"")
        .append(item)
        .append("\"} ")
        .append(std::to_string(value))
        .append("\n");
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string prefix_;
  std::string name_;
  std::string text_;
};

std::optional<uint64_t> number(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto result = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::string read_or_empty(const std::string& path) {
  try {
    return read_file(path, kMaxProcFile);
  } catch (const Error&) {
    return {};
  }
}

// Calls `use(key, value)` for each "key: value" line.
template <typename Use>
void each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) use(line.substr(0, colon), line.substr(colon + 1));
  }
}

std::optional<uint64_t> count_entries(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return std::nullopt;
  uint64_t count = 0;
  while (const dirent* const entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count;
}

void add_status(Gauges& gauges, std::string_view status) {
  if (status.empty()) return;
  gauges.family("_proc_status", "Process status (/proc/<pid>/status), sizes in kB");
  each_line(status, [&](std::string_view key, std::string_view value) {
    const bool wanted = key.starts_with("Vm") || key.starts_with("Rss") || key == "HugetlbPages" ||
                        key.ends_with("ctxt_switches") || key == "Threads";
    const auto parsed = number(value);
    if (wanted && parsed) gauges.item(lower_case(key), *parsed);
  });
}

// Fields 14 to 17 of /proc/<pid>/stat: clock ticks. The name in field 2 may hold anything, so the count
// starts behind its last parenthesis.
void add_stat(Gauges& gauges, std::string_view stat) {
  constexpr std::array<std::string_view, 4> kNames = {"utime", "stime", "cutime", "cstime"};
  constexpr size_t kFieldsBeforeTimes = 11;
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return;
  stat.remove_prefix(std::min(name_end + 2, stat.size()));
  for (size_t field = 0; field < kFieldsBeforeTimes; ++field) {
    const size_t space = stat.find(' ');
    if (space == std::string_view::npos) return;
    stat.remove_prefix(space + 1);
  }
  gauges.family("_proc_stat", "Process statistics (/proc/<pid>/stat), in clock ticks");
  for (const std::string_view name : kNames) {
    if (const auto value = number(stat)) gauges.item(name, *value);
    stat.remove_prefix(std::min(stat.find(' '), stat.size() - 1) + 1);
    if (stat.empty()) return;
  }
}

void add_io(Gauges& gauges, std::string_view io) {
  if (io.empty()) return;
  gauges.family("_io_stat", "Process I/O (/proc/<pid>/io)");
  each_line(io, [&](std::string_view key, std::string_view value) {
    const std::string name = lower_case(key);
    if (const auto parsed = number(value)) gauges.item(name, *parsed);
  });
}

}  // namespace

std::string process_metrics(std::string_view prefix, pid_t pid, const std::string& proc) {
  const std::string dir = proc + "/" + std::to_string(pid);
  Gauges gauges(prefix);
  if (const auto threads = count_entries(dir + "/task")) {
    gauges.family("_threads", "Threads of the process");
    gauges.value(*threads);
  }
  if (const auto fds = count_entries(dir + "/fd")) {
    gauges.family("_fds", "Open descriptors of the process");
    gauges.value(*fds);
  }
  add_status(gauges, read_or_empty(dir + "/status"));
  add_stat(gauges, read_or_empty(dir + "/stat"));
  add_io(gauges, read_or_empty(dir + "/io"));
  return gauges.take();
}

}  // namespace kata::shim
