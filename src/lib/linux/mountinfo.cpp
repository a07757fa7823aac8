#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>

#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::kernel {
namespace {

// The next word of a line; the line shrinks.
std::optional<std::string_view> next_word(std::string_view& line) {
  const size_t start = line.find_first_not_of(' ');
  if (start == std::string_view::npos) return std::nullopt;
  line.remove_prefix(start);
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// \ooo stands for a byte: blanks, tabs, newlines and backslashes of a path.
std::string unescape(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

template <typename Number>
bool to_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool take_number(std::string_view& line, int& number) {
  const auto word = next_word(line);
  return word && to_number(*word, number);
}

bool take_text(std::string_view& line, std::string& text) {
  const auto word = next_word(line);
  if (word) text = unescape(*word);
  return word.has_value();
}

bool take_device(std::string_view& line, MountEntry& entry) {
  const auto word = next_word(line);
  if (!word) return false;
  const size_t colon = word->find(':');
  return colon != std::string_view::npos && to_number(word->substr(0, colon), entry.major) &&
         to_number(word->substr(colon + 1), entry.minor);
}

bool take_optional_fields(std::string_view& line, MountEntry& entry) {
  while (const auto word = next_word(line)) {
    if (*word == "-") return true;
    entry.optional_fields.emplace_back(*word);
  }
  return false;
}

std::optional<MountEntry> parse_line(std::string_view line) {
  MountEntry entry;
  if (!take_number(line, entry.id) || !take_number(line, entry.parent) || !take_device(line, entry) ||
      !take_text(line, entry.root) || !take_text(line, entry.mount_point) ||
      !take_text(line, entry.options) || !take_optional_fields(line, entry) ||
      !take_text(line, entry.fstype)) {
    return std::nullopt;
  }
  // The source of a mount can be an empty string: then the line has two blanks and one word less.
  if (line.starts_with("  ")) {
    line.remove_prefix(2);
  } else if (!take_text(line, entry.source)) {
    return std::nullopt;
  }
  take_text(line, entry.super_options);
  return entry;
}

bool is_below(std::string_view path, std::string_view ancestor) {
  if (ancestor == "/") return true;
  return path == ancestor ||
         (path.starts_with(ancestor) && path.size() > ancestor.size() && path[ancestor.size()] == '/');
}

}  // namespace

std::expected<std::vector<MountEntry>, Error> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> entries;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty()) continue;
    auto entry = parse_line(line);
    if (!entry) {
      return std::unexpected(
          Error(Code::kInvalidArgument, "mountinfo line " + std::to_string(number) +
                                            " is not understood: " + std::string(line.substr(0, 200))));
    }
    entries.push_back(std::move(*entry));
  }
  return entries;
}

std::vector<std::string> mounts_below(const std::string& path) {
  const auto entries = parse_mountinfo(read_file("/proc/self/mountinfo"));
  if (!entries) throw entries.error();
  std::string_view ancestor = path;
  while (ancestor.size() > 1 && ancestor.ends_with('/')) ancestor.remove_suffix(1);
  // Deepest first: what is strictly below has the longer path; of mounts on one point the later lies on top.
  std::multimap<std::pair<size_t, size_t>, std::string, std::greater<>> found;
  for (const MountEntry& entry : *entries) {
    if (is_below(entry.mount_point, ancestor))
      found.emplace(std::pair(entry.mount_point.size(), found.size()), entry.mount_point);
  }
  std::vector<std::string> paths;
  for (auto& [order, mount_point] : found) paths.push_back(std::move(mount_point));
  return paths;
}

}  // namespace kata::kernel
