#include "guest/boot/config_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string>

namespace kata::boot {
namespace {

constexpr std::string_view kLevels = "fatal|panic|critical|error|warn|warning|info|debug|trace";
constexpr auto kIgnored = nullptr;

void set_level(AgentConfig& config, const Value& value) {
  log::parse_level(value.text, config.log_level);
}

constexpr std::array kKeys = {
    Key{"log", "log_level", ValueKind::kChoice, kLevels, set_level},
    Key{"log_vport", "", ValueKind::kPort, "",
        [](AgentConfig& c, const Value& v) { c.log_port = static_cast<uint32_t>(v.number); }},
    Key{"server_addr", "", ValueKind::kText, "",
        [](AgentConfig& c, const Value& v) { c.server_address = v.text; }},
    Key{"debug_console", "", ValueKind::kFlag, "",
        [](AgentConfig& c, const Value& v) { c.debug_console = v.flag; }},
    Key{"debug_console_vport", "", ValueKind::kPort, "",
        [](AgentConfig& c, const Value& v) { c.debug_console_port = static_cast<uint32_t>(v.number); }},
    Key{"forward_vport", "", ValueKind::kPort, "",
        [](AgentConfig& c, const Value& v) { c.forward_port = static_cast<uint32_t>(v.number); }},
    Key{"hotplug_timeout", "", ValueKind::kSeconds, "",
        [](AgentConfig& c, const Value& v) { c.hotplug_timeout = std::chrono::seconds(v.number); }},
    Key{"cdi_timeout", "", ValueKind::kSeconds, "",
        [](AgentConfig& c, const Value& v) { c.cdi_timeout = std::chrono::seconds(v.number); }},
    Key{"container_pipe_size", "", ValueKind::kSize, "",
        [](AgentConfig& c, const Value& v) { c.container_pipe_size = static_cast<uint32_t>(v.number); }},
    // Ours: the contract has fixed limits.
    Key{"watchable_files", "", ValueKind::kUnsigned8, "",
        [](AgentConfig& c, const Value& v) { c.watchable_files = static_cast<uint32_t>(v.number); }},
    Key{"watchable_bytes", "", ValueKind::kSize, "",
        [](AgentConfig& c, const Value& v) { c.watchable_bytes = static_cast<uint32_t>(v.number); }},
    // Accepted by contract without any effect: no warning either.
    Key{"devmode", "dev_mode", ValueKind::kFlag, "", [](AgentConfig&, const Value&) {}},
    Key{"trace", "tracing", ValueKind::kFlagOrBool, "", kIgnored},
    Key{"passfd_listener_port", "", ValueKind::kPort, "", kIgnored},
    Key{"cdh_api_timeout", "", ValueKind::kSeconds, "", kIgnored},
    Key{"image_pull_timeout", "", ValueKind::kSeconds, "",
        [](AgentConfig& c, const Value& v) { c.image_pull_timeout = std::chrono::seconds(v.number); }},
    Key{"launch_process_timeout", "", ValueKind::kSeconds, "", kIgnored},
    Key{"visible_cdi_devices", "", ValueKind::kBool, "",
        [](AgentConfig& c, const Value& v) { c.visible_cdi_devices = v.flag; }},
    Key{"guest_components_rest_api", "", ValueKind::kChoice, "all|attestation|resource", kIgnored},
    Key{"guest_components_procs", "", ValueKind::kChoice,
        "none|attestation-agent|confidential-data-hub|api-server-rest", kIgnored},
    Key{"secure_storage_integrity", "", ValueKind::kBool, "", kIgnored},
    Key{"https_proxy", "", ValueKind::kUrl, "", kIgnored},
    Key{"no_proxy", "", ValueKind::kText, "", kIgnored},
    Key{"policy_file", "policy_file", ValueKind::kText, "", kIgnored},
    Key{"mem_agent_enable", "", ValueKind::kBool, "", kIgnored},
    Key{"mem_agent_memcg_disable", "", ValueKind::kStrictBool, "", kIgnored},
    Key{"mem_agent_memcg_swap", "", ValueKind::kStrictBool, "", kIgnored},
    Key{"mem_agent_memcg_swappiness_max", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_memcg_period_secs", "", ValueKind::kUnsigned64, "", kIgnored},
    Key{"mem_agent_memcg_period_psi_percent_limit", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_memcg_eviction_psi_percent_limit", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_memcg_eviction_run_aging_count_min", "", ValueKind::kUnsigned64, "", kIgnored},
    Key{"mem_agent_compact_disable", "", ValueKind::kStrictBool, "", kIgnored},
    Key{"mem_agent_compact_period_secs", "", ValueKind::kUnsigned64, "", kIgnored},
    Key{"mem_agent_compact_period_psi_percent_limit", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_compact_psi_percent_limit", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_compact_sec_max", "", ValueKind::kSigned64, "", kIgnored},
    Key{"mem_agent_compact_order", "", ValueKind::kUnsigned8, "", kIgnored},
    Key{"mem_agent_compact_threshold", "", ValueKind::kUnsigned64, "", kIgnored},
    Key{"mem_agent_compact_force_times", "", ValueKind::kUnsigned64, "", kIgnored},
};

struct Range {
  int64_t low, high;
};

// The numbers a kind accepts; what a kind ignores (0 seconds, negative ports) is inside.
Range range_of(ValueKind kind) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  switch (kind) {
    case ValueKind::kUnsigned8:
      return {0, 255};
    case ValueKind::kPort:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case ValueKind::kSeconds:
      // A year: later arithmetic in nanoseconds cannot overflow.
      return {0, 31'536'000};
    case ValueKind::kSize:
      return {0, std::numeric_limits<int32_t>::max()};
    case ValueKind::kSigned64:
      return {std::numeric_limits<int64_t>::min(), kMax};
    default:
      return {0, kMax};
  }
}

bool parse_number(std::string_view text, ValueKind kind, int64_t& out) {
  const char* const end = text.data() + text.size();
  if (kind == ValueKind::kUnsigned64) {
    uint64_t wide = 0;
    const auto [stop, error] = std::from_chars(text.data(), end, wide);
    out = static_cast<int64_t>(wide);
    return error == std::errc{} && stop == end;
  }
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  const Range range = range_of(kind);
  return error == std::errc{} && stop == end && out >= range.low && out <= range.high;
}

bool is_choice(std::string_view choices, std::string_view text) {
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    if (choices.substr(0, bar) == text) return true;
    choices.remove_prefix(bar == std::string_view::npos ? choices.size() : bar + 1);
  }
  return false;
}

std::string allowed(const Key& key) {
  const Range range = range_of(key.kind);
  switch (key.kind) {
    case ValueKind::kFlag:
      return "no value";
    case ValueKind::kStrictBool:
      return "true or false";
    case ValueKind::kText:
      return "a text that is not empty";
    case ValueKind::kUrl:
      return "a URL like http://host:port";
    case ValueKind::kChoice: {
      std::string text = "one of " + std::string(key.choices);
      std::ranges::replace(text, '|', ' ');
      return text;
    }
    case ValueKind::kUnsigned64:
      return "a number of 0 or more";
    default:
      return "a number from " + std::to_string(range.low) + " to " + std::to_string(range.high);
  }
}

bool is_url(std::string_view text) {
  const size_t scheme = text.find("://");
  return scheme != std::string_view::npos && scheme > 0 && text.size() > scheme + 3 &&
         text.find_first_of(" \t") == std::string_view::npos;
}

}  // namespace

const Key* find_key(std::string_view name) {
  const auto* found = std::ranges::find(kKeys, name, &Key::name);
  // The policy file comes by file and environment only.
  return found == kKeys.end() || found->name == "policy_file" ? nullptr : found;
}

const Key* find_file_key(std::string_view name) {
  const auto* found = std::ranges::find_if(
      kKeys, [&](const Key& key) { return (key.file_name.empty() ? key.name : key.file_name) == name; });
  return found == kKeys.end() ? nullptr : found;
}

std::expected<Value, Error> check_value(const Key& key, std::string_view name, std::string_view text) {
  Value value{.text = text};
  bool good = true;
  switch (key.kind) {
    case ValueKind::kFlag:
      value.flag = true;
      good = text.empty();
      break;
    case ValueKind::kFlagOrBool:
    case ValueKind::kBool:
      // By contract anything else than true or a number reads as false.
      value.flag = text == "true" || (key.kind == ValueKind::kFlagOrBool && text.empty()) ||
                   (parse_number(text, ValueKind::kSigned64, value.number) && value.number > 0);
      break;
    case ValueKind::kStrictBool:
      value.flag = text == "true";
      good = value.flag || text == "false";
      break;
    case ValueKind::kText:
      good = !text.empty();
      break;
    case ValueKind::kUrl:
      good = is_url(text);
      break;
    case ValueKind::kChoice:
      good = is_choice(key.choices, text);
      break;
    default:
      good = parse_number(text, key.kind, value.number);
  }
  if (good) return value;
  return std::unexpected(
      Error(Code::kInvalidArgument,
            std::string(name) + "=" + std::string(text.substr(0, 200)) + ": expected " + allowed(key)));
}

void apply_value(const Key& key, std::string_view name, const Value& value, AgentConfig& config) {
  if (key.kind == ValueKind::kPort && value.number <= 0) return;
  if (key.kind == ValueKind::kSeconds && value.number == 0) return;
  if (key.apply != nullptr) {
    key.apply(config, value);
  } else {
    config.warnings.push_back(std::string(name) + " has no effect in this agent");
  }
}

}  // namespace kata::boot
