// How long things took, as Prometheus histograms: one series for each kind of thing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace kata {

class Latencies {
 public:
  // Upper bounds of the buckets: 1, 2, 4, ... ms; one more bucket takes the rest.
  static constexpr size_t kBounds = 12;

  // `action` becomes a label: callers choose it from a fixed set ("create"), never from outside data.
  void add(std::string_view action, std::chrono::nanoseconds took);
  // All series of the family `name` (in milliseconds); empty when nothing was added.
  [[nodiscard]] std::string prometheus(std::string_view name, std::string_view help) const;

 private:
  struct Series {
    std::array<uint64_t, kBounds + 1> counts{};
    double sum = 0;
  };
  std::map<std::string, Series, std::less<>> series_;
};

// Names of methods as labels: "ResizePty" → "resize_pty", "CloseIO" → "close_io".
std::string snake_case(std::string_view name);

}  // namespace kata
