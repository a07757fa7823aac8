#include "lib/text/latencies.h"

#include <array>
#include <cstdio>

namespace kata {
namespace {

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

std::string number(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3f", value);
  return text.data();
}

}  // namespace

void Latencies::add(std::string_view action, std::chrono::nanoseconds took) {
  auto found = series_.find(action);
  if (found == series_.end()) found = series_.emplace(std::string(action), Series()).first;
  Series& series = found->second;
  const double milliseconds = static_cast<double>(took.count()) / 1e6;
  size_t bucket = 0;
  for (double bound = 1; bucket < kBounds && milliseconds > bound; bound *= 2) ++bucket;
  ++series.counts.at(bucket);
  series.sum += milliseconds;
}

std::string Latencies::prometheus(std::string_view name, std::string_view help) const {
  if (series_.empty()) return {};
  std::string text;
  text.append("# HELP ").append(name).append(" ").append(help).append("\n");
  text.append("# TYPE ").append(name).append(" histogram\n");
  for (const auto& [action, series] : series_) {
    const auto line = [&](std::string_view suffix, const std::string& bound, const std::string& value) {
      text.append(name).append(suffix).append("{action=\"").append(action).append("\"");
      if (!bound.empty()) text.append(",le=\"").append(bound).append("\"");
      text.append("} ").append(value).append("\n");
    };
    uint64_t count = 0;
    for (size_t i = 0; i < kBounds; ++i) {
      count += series.counts.at(i);
      line("_bucket", std::to_string(uint64_t{1} << i), std::to_string(count));
    }
    count += series.counts.at(kBounds);
    line("_bucket", "+Inf", std::to_string(count));
    line("_sum", "", number(series.sum));
    line("_count", "", std::to_string(count));
  }
  return text;
}

std::string snake_case(std::string_view name) {
  std::string text;
  char before = 0;
  for (const char c : name) {
    if (is_upper(c) && before != 0 && !is_upper(before)) text.push_back('_');
    text.push_back(is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c);
    before = c;
  }
  return text;
}

}  // namespace kata
