#include <algorithm>
#include <cstddef>

// The parser asserts what hostile input can break ("[|"), and in release builds even tells the compiler to
// rely on it; the error branches behind those assertions are right. Without NDEBUG and with an empty
// assertion they are what runs.
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "host/config/document.h"

namespace kata::config {

namespace {

constexpr std::size_t kMaxInput = std::size_t{1} << 20;
// Every dot may open a table inside another one, and trees are walked recursively.
constexpr std::ptrdiff_t kMaxDots = 4096;
constexpr int kMaxDepth = 32;

// The position behind the string that begins at `at`, or the end of the text for one that is never closed.
std::size_t skip_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const std::string fence(3, quote);
  const bool multi_line = text.substr(at, 3) == fence;
  at += multi_line ? 3 : 1;
  while (at < text.size()) {
    if (quote == '"' && text[at] == '\\') {
      at += 2;
    } else if (multi_line && text.substr(at, 3) == fence) {
      at += 3;
      // Up to two quotes before the closing three belong to the string.
      for (int extra = 0; extra < 2 && at < text.size() && text[at] == quote; ++extra) ++at;
      return at;
    } else if (!multi_line && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    } else {
      ++at;
    }
  }
  return text.size();
}

// The line of the first character beyond ASCII that is in no string and no comment, 0 when there is none.
// TOML has no place for one, and the parser has undefined behaviour for some (its test for Unicode blanks).
std::ptrdiff_t line_of_stray_character(std::string_view text) {
  std::size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (at < text.size()) {
    const char c = text[at];
    if (static_cast<unsigned char>(c) >= 0x80) {
      return 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    }
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (c == '"' || c == '\'') {
      at = skip_string(text, at);
    } else {
      ++at;
    }
  }
  return 0;
}

class Converter {
 public:
  explicit Converter(const std::string& name) : name_(name) {}

  // Throws for a tree that is deeper than any configuration.
  Table table(const toml::table& from, int depth = 0) const {
    if (depth > kMaxDepth) {
      throw Error(Code::kInvalidArgument, name_ + ":" + std::to_string(from.source().begin.line) +
                                              ": nested deeper than " + std::to_string(kMaxDepth) +
                                              " levels");
    }
    Table out;
    for (const auto& [key, node] : from) out.emplace(std::string(key.str()), value(node, depth + 1));
    return out;
  }

 private:
  Value value(const toml::node& node, int depth) const {
    Value out{.data = DateOrTime{}, .where = name_ + ":" + std::to_string(node.source().begin.line)};
    if (const auto* inner = node.as_table()) {
      out.data = table(*inner, depth);
    } else if (const auto* list = node.as_array()) {
      Array& items = out.data.emplace<Array>();
      for (const toml::node& item : *list) items.push_back(value(item, depth + 1));
    } else if (const auto* text = node.as_string()) {
      out.data = text->get();
    } else if (const auto* whole = node.as_integer()) {
      out.data = whole->get();
    } else if (const auto* real = node.as_floating_point()) {
      out.data = real->get();
    } else if (const auto* flag = node.as_boolean()) {
      out.data = flag->get();
    }
    return out;
  }

  const std::string& name_;
};

}  // namespace

std::expected<Table, Error> parse_toml(std::string_view text, const std::string& name) {
  const auto refuse = [](std::string message) {
    return std::unexpected(Error(Code::kInvalidArgument, std::move(message)));
  };
  if (text.size() > kMaxInput) return refuse(name + ": larger than the 1 MiB that are read");
  if (std::ranges::count(text, '.') > kMaxDots)
    return refuse(name + ": more than " + std::to_string(kMaxDots) + " dots");
  if (const std::ptrdiff_t line = line_of_stray_character(text)) {
    return refuse(name + ":" + std::to_string(line) +
                  ": not valid TOML: a character beyond ASCII outside of strings and comments");
  }
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::parse_error& error = result.error();
    const toml::source_position at = error.source().begin;
    return refuse(name + ":" + std::to_string(at.line) + ": not valid TOML at column " +
                  std::to_string(at.column) + ": " + std::string(error.description()));
  }
  try {
    return Converter(name).table(result.table());
  } catch (const Error& failure) {
    return std::unexpected(failure);
  }
}

}  // namespace kata::config
