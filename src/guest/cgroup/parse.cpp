#include "guest/cgroup/parse.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace kata::cgroup {
namespace {

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view next_word(std::string_view& text) {
  const size_t start = std::min(text.find_first_not_of(" \t\n"), text.size());
  text.remove_prefix(start);
  const std::string_view word = text.substr(0, std::min(text.find_first_of(" \t\n"), text.size()));
  text.remove_prefix(word.size());
  return word;
}

template <typename Number>
std::optional<Number> whole(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct Device {
  uint64_t major, minor;
};

std::optional<Device> device_of(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major = whole<uint64_t>(text.substr(0, colon));
  const auto minor = whole<uint64_t>(text.substr(colon + 1));
  if (!major || !minor) return std::nullopt;
  return Device{.major = *major, .minor = *minor};
}

}  // namespace

std::optional<uint64_t> parse_number(std::string_view text) {
  const std::string_view word = next_word(text);
  if (word == "max") return std::numeric_limits<uint64_t>::max();
  return whole<uint64_t>(word);
}

std::vector<uint64_t> parse_numbers(std::string_view text) {
  std::vector<uint64_t> numbers;
  for (;;) {
    const auto number = whole<uint64_t>(next_word(text));
    if (!number) return numbers;
    numbers.push_back(*number);
  }
}

std::vector<pid_t> parse_pids(std::string_view text) {
  std::vector<pid_t> pids;
  while (!text.empty()) {
    // 0: a process of a pid namespace that is not ours.
    if (const auto pid = whole<pid_t>(next_line(text)); pid && *pid > 0) pids.push_back(*pid);
  }
  return pids;
}

std::map<std::string, uint64_t> parse_keyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const std::string_view key = next_word(line);
    const auto value = parse_number(line);
    if (!key.empty() && value) values.emplace(key, *value);
  }
  return values;
}

void parse_io_stat(std::string_view text, BlockIoStats& stats) {
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const auto device = device_of(next_word(line));
    if (!device) continue;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
      const size_t equals = word.find('=');
      const auto value =
          equals == std::string_view::npos ? std::nullopt : whole<uint64_t>(word.substr(equals + 1));
      if (!value) continue;
      const std::string_view key = word.substr(0, equals);
      const auto add = [&](std::vector<BlockIoEntry>& list, const char* operation) {
        list.push_back(
            {.major = device->major, .minor = device->minor, .operation = operation, .value = *value});
      };
      if (key == "rbytes") add(stats.bytes, "Read");
      if (key == "wbytes") add(stats.bytes, "Write");
      if (key == "rios") add(stats.operations, "Read");
      if (key == "wios") add(stats.operations, "Write");
    }
  }
}

std::vector<BlockIoEntry> parse_blkio(std::string_view text) {
  std::vector<BlockIoEntry> entries;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const auto device = device_of(next_word(line));
    if (!device) continue;
    std::string_view word = next_word(line);
    std::string operation;
    if (!whole<uint64_t>(word)) {
      operation = word;
      word = next_word(line);
    }
    const auto value = whole<uint64_t>(word);
    if (!value) continue;
    entries.push_back(
        {.major = device->major, .minor = device->minor, .operation = std::move(operation), .value = *value});
  }
  return entries;
}

}  // namespace kata::cgroup
