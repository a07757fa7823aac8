#include "host/config/derived.h"

#include <algorithm>

namespace kata::config {

namespace {

constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error", "critical"};

}  // namespace

std::string_view effective_log_level(bool enable_debug, std::string_view log_level) {
  const auto* known = std::ranges::find(kLevels, log_level);
  const bool plain_info = log_level.empty() || log_level == "info";
  if (enable_debug && plain_info) return "debug";
  return known == std::end(kLevels) ? "info" : *known;
}

LogLevels log_levels(const Config& config) {
  return {.runtime = effective_log_level(config.runtime.enable_debug, config.runtime.log_level),
          .agent = effective_log_level(config.agent.enable_debug, config.agent.log_level),
          .hypervisor = effective_log_level(config.hypervisor.enable_debug, config.hypervisor.log_level)};
}

AgentTimes agent_times(const AgentConfig& agent) {
  using std::chrono::milliseconds;
  return {.reconnect = std::max(milliseconds(agent.reconnect_timeout_ms), kReconnectFloor),
          .first_pause = std::clamp(milliseconds(agent.dial_timeout_ms), milliseconds(10), milliseconds(500)),
          .request = std::chrono::seconds(agent.create_container_timeout),
          .health_check = milliseconds(agent.health_check_request_timeout_ms)};
}

}  // namespace kata::config
