// Writer of Prometheus' text format, version 0.0.4: families with help and type, samples with labels.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace kata::metrics {

struct Label {
  std::string_view name;
  std::string_view value;
};

class TextWriter {
 public:
  // Ends the previous family. A family without samples is not written.
  void family(std::string_view name, std::string_view help, std::string_view type);
  void sample(double value, std::initializer_list<Label> labels = {});
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string name_;
  std::string head_;
};

}  // namespace kata::metrics
