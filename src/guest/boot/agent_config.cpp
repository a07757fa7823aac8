#include "guest/boot/agent_config.h"

#include <algorithm>

#include "guest/boot/config_keys.h"

namespace kata::boot {
namespace {

constexpr std::string_view kPrefix = "agent.";
// A hostile or broken line must not fill the memory with warnings.
constexpr size_t kMaxWarnings = 64;

// The kernel takes quotes off when they open a word or a value.
std::string unquote(std::string_view word) {
  if (word.starts_with('"')) {
    word.remove_prefix(1);
    if (word.ends_with('"')) word.remove_suffix(1);
    return std::string(word);
  }
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals + 1 >= word.size() || word[equals + 1] != '"')
    return std::string(word);
  std::string_view value = word.substr(equals + 2);
  if (value.ends_with('"')) value.remove_suffix(1);
  return std::string(word.substr(0, equals + 1)) + std::string(value);
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

void warn(AgentConfig& config, std::string text) {
  if (config.warnings.size() < kMaxWarnings) config.warnings.push_back(std::move(text));
}

bool is_true(std::string_view text) {
  return text == "true" || text == "1" || text == "yes" || text == "on";
}

// What the kernel and systemd call the choice of cgroup hierarchies.
void apply_cgroup_word(std::string_view name, std::string_view value, AgentConfig& config) {
  if (name == "systemd.unified_cgroup_hierarchy") {
    if (is_true(value) || value.empty()) {
      config.cgroups = CgroupLayout::kUnified;
    } else if (config.cgroups == CgroupLayout::kUnified) {
      config.cgroups = CgroupLayout::kHybrid;
    }
  } else if (name == "systemd.legacy_systemd_cgroup_controller" && (is_true(value) || value.empty())) {
    config.cgroups = CgroupLayout::kLegacy;
  } else if (name == "cgroup_no_v1" && value == "all") {
    config.cgroups = CgroupLayout::kUnified;
  }
}

std::expected<void, Error> apply_word(std::string_view word, AgentConfig& config) {
  const size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const std::string_view text =
      equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
  apply_cgroup_word(name, text, config);
  if (!name.starts_with(kPrefix)) return {};
  const std::string_view key_name = name.substr(kPrefix.size());
  if (key_name == "config_file") {
    if (text.empty())
      return std::unexpected(Error(Code::kInvalidArgument, "agent.config_file=: expected a path"));
    config.config_file = text;
    return {};
  }
  const Key* key = find_key(key_name);
  if (key == nullptr) {
    warn(config, "unknown parameter " + std::string(name.substr(0, 200)));
    return {};
  }
  if (key->kind == ValueKind::kFlag && equals != std::string_view::npos) {
    warn(config, std::string(name) + " takes no value: ignored");
    return {};
  }
  const auto value = check_value(*key, name, text);
  if (!value) return std::unexpected(value.error());
  if (config.warnings.size() < kMaxWarnings || key->apply != nullptr) apply_value(*key, name, *value, config);
  return {};
}

}  // namespace

std::vector<std::string> split_command_line(std::string_view line) {
  std::vector<std::string> words;
  size_t at = 0;
  while (at < line.size()) {
    if (is_blank(line[at]) || line[at] == '\0') {
      ++at;
      continue;
    }
    const size_t start = at;
    bool quoted = false;
    while (at < line.size() && line[at] != '\0' && (quoted || !is_blank(line[at]))) {
      if (line[at] == '"') quoted = !quoted;
      ++at;
    }
    words.push_back(unquote(line.substr(start, at - start)));
  }
  return words;
}

std::expected<AgentConfig, Error> parse_command_line(std::string_view line) {
  AgentConfig config;
  for (const std::string& word : split_command_line(line)) {
    if (auto applied = apply_word(word, config); !applied) return std::unexpected(applied.error());
    // The rest of the line is not looked at: the file replaces everything.
    if (!config.config_file.empty()) break;
  }
  return config;
}

std::expected<void, Error> apply_environment(const char* const* environment, AgentConfig& config) {
  struct Variable {
    std::string_view name, key;
  };
  static constexpr Variable kVariables[] = {{"KATA_AGENT_SERVER_ADDR", "server_addr"},
                                            {"KATA_AGENT_LOG_LEVEL", "log_level"},
                                            {"KATA_AGENT_TRACING", "tracing"},
                                            {"KATA_AGENT_POLICY_FILE", "policy_file"}};
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const auto* found = std::ranges::find(kVariables, entry.substr(0, equals), &Variable::name);
    if (found == std::end(kVariables)) continue;
    const std::string_view key_name = found->key;
    const Key* key = find_file_key(key_name);
    const auto value = check_value(*key, found->name, entry.substr(equals + 1));
    if (!value) return std::unexpected(value.error());
    apply_value(*key, found->name, *value, config);
  }
  return {};
}

}  // namespace kata::boot
