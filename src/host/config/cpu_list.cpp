#include "host/config/cpu_list.h"

#include <charconv>

namespace kata::config {

namespace {

constexpr uint32_t kMostCpus = 1u << 16;

bool take_number(std::string_view& text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number >= kMostCpus) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

uint32_t count_cpus(std::string_view list) {
  uint32_t count = 0;
  while (!list.empty()) {
    uint32_t first = 0;
    if (!take_number(list, first)) return 0;
    uint32_t last = first;
    if (list.starts_with('-')) {
      list.remove_prefix(1);
      if (!take_number(list, last) || last < first) return 0;
    }
    count += last - first + 1;
    if (count > kMostCpus) return 0;
    if (list.empty()) break;
    if (list.front() != ',' || list.size() == 1) return 0;
    list.remove_prefix(1);
  }
  return count;
}

}  // namespace kata::config
