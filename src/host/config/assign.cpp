#include "host/config/assign.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "host/config/verity.h"

namespace kata::config {

namespace {

std::string expected(std::string_view what, const Value& value) {
  return "expected " + std::string(what) + ", found " + std::string(value.kind());
}

// Texts end up in argument lists and C interfaces: no NUL; and messages that quote them stay readable.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 200)) out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return out + (text.size() > 200 ? "...\"" : "\"");
}

template <typename T>
std::string assign_integer(T& out, const Value& value) {
  constexpr int64_t low = std::is_signed_v<T> ? int64_t{std::numeric_limits<T>::min()} : 0;
  constexpr uint64_t type_high = std::numeric_limits<T>::max();
  constexpr int64_t high = static_cast<int64_t>(std::min<uint64_t>(type_high, INT64_MAX));
  const auto* number = std::get_if<int64_t>(&value.data);
  if (number == nullptr) return expected("a whole number", value);
  if (*number < low || *number > high) {
    return "expected a number from " + std::to_string(low) + " to " + std::to_string(high) + ", found " +
           std::to_string(*number);
  }
  out = static_cast<T>(*number);
  return {};
}

std::string assign_double(double& out, const Value& value) {
  if (const auto* whole = std::get_if<int64_t>(&value.data)) {
    out = static_cast<double>(*whole);
  } else if (const auto* real = std::get_if<double>(&value.data); real != nullptr && std::isfinite(*real)) {
    out = *real;
  } else {
    return real != nullptr ? "expected a finite number" : expected("a number", value);
  }
  return {};
}

std::string assign_bool(bool& out, const Value& value) {
  const auto* flag = std::get_if<bool>(&value.data);
  if (flag == nullptr) return expected("true or false", value);
  out = *flag;
  return {};
}

std::string assign_string(std::string& out, const Value& value) {
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr) return expected("a string", value);
  if (text->find('\0') != std::string::npos) return "the string holds a NUL character";
  out = *text;
  return {};
}

template <typename T, typename Assign>
std::string assign_list(std::vector<T>& out, const Value& value, std::string_view what, Assign assign) {
  const Array* items = value.array();
  if (items == nullptr) return expected(what, value);
  std::vector<T> list(items->size());
  for (std::size_t i = 0; i < items->size(); ++i) {
    const std::string problem = assign(list[i], (*items)[i]);
    if (!problem.empty()) return "element " + std::to_string(i + 1) + ": " + problem;
  }
  out = std::move(list);
  return {};
}

std::string assign_typed(const KeyInfo& key, void* object, const Value& value) {
  switch (key.type) {
    case Type::kBool:
      return assign_bool(member<bool>(key, object), value);
    case Type::kU32:
      return assign_integer(member<uint32_t>(key, object), value);
    case Type::kI32:
      return assign_integer(member<int32_t>(key, object), value);
    case Type::kU64:
      return assign_integer(member<uint64_t>(key, object), value);
    case Type::kDouble:
      return assign_double(member<double>(key, object), value);
    case Type::kString:
      return assign_string(member<std::string>(key, object), value);
    case Type::kStringList:
      return assign_list(member<StringList>(key, object), value, "an array of strings", assign_string);
    case Type::kU32List:
      return assign_list(member<std::vector<uint32_t>>(key, object), value, "an array of numbers",
                         assign_integer<uint32_t>);
    case Type::kOptionalBool:
      return assign_bool(member<OptionalBool>(key, object).emplace(), value);
    case Type::kOptionalU8:
      return assign_integer(member<OptionalU8>(key, object).emplace(), value);
    case Type::kOptionalU64:
      return assign_integer(member<OptionalU64>(key, object).emplace(), value);
    case Type::kOptionalI64:
      return assign_integer(member<OptionalI64>(key, object).emplace(), value);
    case Type::kOptionalString:
      return assign_string(member<OptionalString>(key, object).emplace(), value);
    case Type::kTable:
    case Type::kTableArray:
      break;
  }
  return "cannot be set this way";
}

std::string text_of(const KeyInfo& key, void* object) {
  if (key.type == Type::kString) return member<std::string>(key, object);
  if (key.type == Type::kOptionalString) return member<OptionalString>(key, object).value_or("");
  return {};
}

double number_of(const KeyInfo& key, void* object) {
  if (key.type == Type::kU32) return member<uint32_t>(key, object);
  if (key.type == Type::kDouble) return member<double>(key, object);
  if (key.type == Type::kOptionalU8) return member<OptionalU8>(key, object).value_or(0);
  return 0;
}

bool contains_word(std::string_view words, std::string_view word) {
  while (true) {
    const std::string_view one = words.substr(0, words.find('|'));
    if (one == word) return true;
    if (one.size() == words.size()) return false;
    words.remove_prefix(one.size() + 1);
  }
}

bool only_name_characters(std::string_view text, std::string_view extra) {
  return std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           extra.find(c) != std::string_view::npos;
  });
}

std::string check_shared_path(const std::string& text) {
  const bool absolute = text.size() > 1 && text.front() == '/' && text.find("//") == std::string::npos;
  const bool climbs = text.find("..") != std::string::npos;
  if (absolute && !climbs && only_name_characters(text, "/-_.")) return {};
  return quoted(text) + " is no absolute path of letters, digits, -, _ and . without \"..\"";
}

std::string check_verity(const std::string& text) {
  if (text.empty()) return {};
  const auto parsed = parse_verity(text);
  return parsed ? std::string() : parsed.error();
}

std::string check(const KeyInfo& key, void* object) {
  const std::string text = text_of(key, object);
  const double number = number_of(key, object);
  switch (key.check.kind) {
    case Check::Kind::kAny:
    case Check::Kind::kLogLevel:  // unknown words mean info: a warning of the loader
      return {};
    case Check::Kind::kOneOf:
      if (contains_word(key.check.words, text)) return {};
      return quoted(text) + " is not allowed; expected " + allowed_words(key.check);
    case Check::Kind::kUpTo:
      if (number <= static_cast<double>(key.check.limit)) return {};
      return "expected a number from 0 to " + std::to_string(key.check.limit);
    case Check::Kind::kNotZero:
      return number > 0 ? "" : "must not be 0";
    case Check::Kind::kNotNegative:
      return number >= 0 ? "" : "must not be negative";
    case Check::Kind::kSectorSize: {
      const auto size = static_cast<uint32_t>(number);
      const bool fits = size == 0 || (size >= 512 && size <= 65536 && (size & (size - 1)) == 0);
      return fits ? "" : "expected 0 (the VMM's default) or a power of two from 512 to 65536";
    }
    case Check::Kind::kVerity:
      return check_verity(text);
    case Check::Kind::kExtensionName:
      if (!text.empty() && only_name_characters(text, "-_")) return {};
      return quoted(text) + " is no name of letters, digits, - and _";
    case Check::Kind::kNotEmpty:
      return text.empty() ? "must not be empty" : "";
    case Check::Kind::kSharedPath:
      return check_shared_path(text);
  }
  return {};
}

std::optional<Value> value_of_text(Type type, std::string_view text) {
  const std::string_view bare = trimmed(text);
  const char* end = bare.data() + bare.size();
  const auto whole = [&](auto number) -> std::optional<Value> {
    const auto [stop, failure] = std::from_chars(bare.data(), end, number);
    return failure == std::errc() && stop == end ? std::optional<Value>({.data = number, .where = {}})
                                                 : std::nullopt;
  };
  if (type == Type::kString || type == Type::kOptionalString)
    return Value{.data = std::string(text), .where = {}};
  if (type == Type::kDouble) return whole(0.0);
  if (type != Type::kBool && type != Type::kOptionalBool) return whole(int64_t{0});
  if (bare != "true" && bare != "false") return std::nullopt;
  return Value{.data = bare == "true", .where = {}};
}

std::string_view expectation(Type type) {
  if (type == Type::kBool || type == Type::kOptionalBool) return "true or false";
  return type == Type::kDouble ? "a number" : "a whole number";
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string allowed_words(const Check& check) {
  std::string text;
  bool empty_allowed = false;
  std::string_view rest = check.words;
  for (bool more = true; more;) {
    const std::string_view word = rest.substr(0, rest.find('|'));
    more = word.size() < rest.size();
    if (more) rest.remove_prefix(word.size() + 1);
    empty_allowed = empty_allowed || word.empty();
    if (!word.empty()) text += (text.empty() ? "" : ", ") + std::string(word);
  }
  return text + (empty_allowed ? " or empty" : "");
}

std::string assign_value(const KeyInfo& key, void* object, const Value& value) {
  std::string problem = assign_typed(key, object, value);
  return problem.empty() ? check(key, object) : problem;
}

std::string assign_text(const KeyInfo& key, void* object, std::string_view text) {
  const auto value = value_of_text(key.type, text);
  if (!value) return "expected " + std::string(expectation(key.type)) + ", found " + quoted(text);
  return assign_value(key, object, *value);
}

}  // namespace kata::config
