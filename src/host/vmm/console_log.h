// The last lines of a byte stream that a guest or a VMM writes.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kata::vmm {

// Keeps the newest lines, whatever arrives: at most `max_lines` of at most `max_length` bytes each (the rest
// of a longer line is cut). Lines are printable: control characters and escape sequences are left out, bytes
// that are not ASCII become '?'. Empty lines are dropped.
class ConsoleLog {
 public:
  explicit ConsoleLog(size_t max_lines = 200, size_t max_length = 400)
      : max_lines_(max_lines), max_length_(max_length) {}

  // Called with each line when it is complete.
  void on_line(std::function<void(const std::string&)> handler) { on_line_ = std::move(handler); }

  void append(std::string_view bytes);
  // The newest `count` lines, oldest first; an unfinished line counts.
  [[nodiscard]] std::vector<std::string> last(size_t count) const;
  // All lines, each ended by '\n'.
  [[nodiscard]] std::string text() const;

 private:
  enum class State { kPlain, kEscape, kSequence };
  void put(char c);
  void end_line();

  size_t max_lines_, max_length_;
  std::deque<std::string> lines_;
  std::string current_;
  State state_ = State::kPlain;
  std::function<void(const std::string&)> on_line_;
};

}  // namespace kata::vmm
