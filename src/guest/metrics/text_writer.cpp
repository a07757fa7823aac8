#include "guest/metrics/text_writer.h"

#include <array>
#include <charconv>
#include <cmath>

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
  std::array<char, 400> buffer;
  // Counters as plain digits as long as a double holds them exactly.
  constexpr double kExact = 9007199254740992.0;
  const bool whole = value == std::floor(value) && std::fabs(value) < kExact;
  const auto format = whole ? std::chars_format::fixed : std::chars_format::general;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  out.append(buffer.data(), result.ptr);
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
