#include "guest/metrics/text_writer.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace kata::metrics {
namespace {

// Label values are quoted; names of interfaces and mount points may hold anything but NUL.
void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "NaN" : (value > 0 ? "+Inf" : "-Inf");
    return;
  }
  // Counters as plain digits as long as a double holds them exactly.
  constexpr double kExact = 9007199254740992.0;
  if (value == std::floor(value) && std::fabs(value) < kExact) {
    out += std::to_string(static_cast<long long>(value));
    return;
  }
  // Not std::to_chars: its tables for the shortest form are 130 KB of the program.
  std::array<char, 40> buffer;
  int length = std::snprintf(buffer.data(), buffer.size(), "%.15g", value);
  if (std::strtod(buffer.data(), nullptr) != value)
    length = std::snprintf(buffer.data(), buffer.size(), "%.17g", value);
  out.append(buffer.data(), static_cast<size_t>(length));
}

}  // namespace

void TextWriter::family(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  head_ = "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
}

void TextWriter::sample(double value, std::initializer_list<Label> labels) {
  text_ += head_;
  head_.clear();
  text_ += name_;
  char separator = '{';
  for (const Label& label : labels) {
    text_ += separator;
    text_ += label.name;
    text_ += "=\"";
    append_escaped(text_, label.value);
    text_ += '"';
    separator = ',';
  }
  if (labels.size() > 0) text_ += '}';
  text_ += ' ';
  append_number(text_, value);
  text_ += '\n';
}

}  // namespace kata::metrics
