// The part of TOML that an agent's configuration uses: `key = value`, strings, numbers, booleans, one level
// of tables, written in line or with a header. A whole TOML library would be the largest thing in the agent.
#include <charconv>
#include <optional>

#include "guest/boot/agent_config.h"
#include "guest/boot/config_keys.h"

namespace kata::boot {
namespace {

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Takes a comment off: a '#' outside of quotes.
std::string_view without_comment(std::string_view line) {
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && c == '#') return line.substr(0, i);
    if (quote == '"' && c == '\\') {
      ++i;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
  }
  return line;
}

Error bad_line(int number, const std::string& what) {
  return Error(Code::kInvalidArgument, "configuration file, line " + std::to_string(number) + ": " + what);
}

// The text that a TOML scalar stands for; none when it is not one of the forms above.
std::optional<std::string> scalar(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'')
    return std::string(text.substr(1, text.size() - 2));
  if (!text.starts_with('"')) {
    if (text.empty() || text.find_first_of("\"'[]{} ,") != std::string_view::npos) return std::nullopt;
    std::string plain(text);
    std::erase(plain, '_');
    return plain;
  }
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1 == text.size() ? std::optional(out) : std::nullopt;
    if (text[i] == '\\' && ++i >= text.size()) return std::nullopt;
    out.push_back(text[i]);
  }
  return std::nullopt;
}

class FileParser {
 public:
  std::expected<AgentConfig, Error> parse(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      ++number_;
      if (auto done = line(trim(without_comment(text.substr(0, end)))); !done)
        return std::unexpected(done.error());
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return std::move(config_);
  }

 private:
  std::expected<void, Error> line(std::string_view text) {
    if (text.empty()) return {};
    if (text.starts_with('[')) {
      if (!text.ends_with(']')) return std::unexpected(bad_line(number_, "a table header without ]"));
      table_ = trim(text.substr(1, text.size() - 2));
      return {};
    }
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return std::unexpected(bad_line(number_, "expected key = value"));
    const std::string_view key = trim(text.substr(0, equals));
    const std::string_view value = trim(text.substr(equals + 1));
    if (value.starts_with('{')) return inline_table(key, value);
    if (!table_.empty()) return member(table_, key, value);
    return assign(key, value);
  }

  std::expected<void, Error> inline_table(std::string_view name, std::string_view text) {
    if (!text.ends_with('}')) return std::unexpected(bad_line(number_, "an inline table without }"));
    text = trim(text.substr(1, text.size() - 2));
    while (!text.empty()) {
      const size_t comma = text.find(',');
      const std::string_view entry = trim(text.substr(0, comma));
      const size_t equals = entry.find('=');
      if (equals == std::string_view::npos)
        return std::unexpected(bad_line(number_, "expected key = value in { }"));
      if (auto done = member(name, trim(entry.substr(0, equals)), trim(entry.substr(equals + 1))); !done)
        return done;
      text = comma == std::string_view::npos ? std::string_view() : trim(text.substr(comma + 1));
    }
    return {};
  }

  // Tables stand for time-outs: their seconds count, nanoseconds are below what any of them means.
  std::expected<void, Error> member(std::string_view table, std::string_view key, std::string_view value) {
    const Key* known = find_file_key(table);
    if (key != "secs" || known == nullptr || known->kind != ValueKind::kSeconds) return {};
    return assign(table, value);
  }

  std::expected<void, Error> assign(std::string_view name, std::string_view text) {
    const auto value = scalar(text);
    if (!value) {
      // A value of a form that no key of ours has is only wrong if the key is ours.
      if (find_file_key(name) == nullptr) return {};
      return std::unexpected(
          bad_line(number_, std::string(name) + ": expected a string, a number or a boolean"));
    }
    if (name == "unified_cgroup_hierarchy") {
      config_.cgroups = *value == "true" ? CgroupLayout::kUnified : CgroupLayout::kHybrid;
      return {};
    }
    const Key* key = find_file_key(name);
    if (key == nullptr) return {};
    if (key->kind == ValueKind::kFlag) {
      const Value flag{.text = {}, .flag = *value == "true"};
      apply_value(*key, name, flag, config_);
      return {};
    }
    const auto checked = check_value(*key, name, *value);
    if (!checked) return std::unexpected(bad_line(number_, checked.error().message()));
    apply_value(*key, name, *checked, config_);
    return {};
  }

  AgentConfig config_;
  std::string table_;
  int number_ = 0;
};

}  // namespace

std::expected<AgentConfig, Error> parse_config_file(std::string_view text) {
  return FileParser().parse(text);
}

}  // namespace kata::boot
