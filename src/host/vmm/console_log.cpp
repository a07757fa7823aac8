#include "host/vmm/console_log.h"

#include <algorithm>

namespace kata::vmm {

void ConsoleLog::append(std::string_view bytes) {
  for (const char c : bytes) {
    switch (state_) {
      case State::kPlain:
        put(c);
        break;
      case State::kEscape:
        // ESC [ starts a sequence (ECMA-48); any other ESC pair ends with this byte.
        state_ = c == '[' ? State::kSequence : State::kPlain;
        break;
      case State::kSequence:
        // Parameters and intermediates are 0x20..0x3f; anything else ends the sequence.
        if (c < 0x20 || c > 0x3f) state_ = State::kPlain;
        break;
    }
  }
}

void ConsoleLog::put(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == '\n') return end_line();
  if (c == '\x1b') {
    state_ = State::kEscape;
    return;
  }
  if (c == '\t') c = ' ';
  if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return;
  if (byte >= 0x80) c = '?';
  if (current_.size() < max_length_) current_.push_back(c);
}

void ConsoleLog::end_line() {
  if (current_.empty()) return;
  if (on_line_) on_line_(current_);
  if (lines_.size() == max_lines_) lines_.pop_front();
  lines_.push_back(std::move(current_));
  current_.clear();
}

std::vector<std::string> ConsoleLog::last(size_t count) const {
  std::vector<std::string> result(lines_.begin(), lines_.end());
  if (!current_.empty()) result.push_back(current_);
  if (result.size() > count) result.erase(result.begin(), result.end() - static_cast<std::ptrdiff_t>(count));
  return result;
}

std::string ConsoleLog::text() const {
  std::string result;
  for (const std::string& line : last(max_lines_ + 1)) result += line + "\n";
  return result;
}

}  // namespace kata::vmm
