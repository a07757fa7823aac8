// Values that follow from the configuration by a rule of their own: log levels and time limits.
#pragma once

#include <chrono>
#include <string_view>

#include "host/config/config.h"

namespace kata::config {

// The level a component's records are kept from: "debug" when its section says enable_debug and log_level is
// exactly "info" (an absent level is the same), else log_level as written, unknown words meaning "info". One
// of trace, debug, info, warn, error, critical.
std::string_view effective_log_level(bool enable_debug, std::string_view log_level);

struct LogLevels {
  std::string_view runtime, agent, hypervisor;
};
LogLevels log_levels(const Config& config);

// Shortest total time that reaching the agent is given, whatever reconnect_timeout_ms says.
inline constexpr std::chrono::milliseconds kReconnectFloor{10'000};

struct AgentTimes {
  // Budget for reaching the agent: reconnect_timeout_ms, lifted to the floor.
  std::chrono::milliseconds reconnect;
  // First pause between two attempts: dial_timeout_ms clamped to 10..500 ms; pauses double up to 500 ms.
  std::chrono::milliseconds first_pause;
  // Limit of every ordinary request (create_container_timeout); WaitProcess, stdio and GetOOMEvent have none.
  std::chrono::milliseconds request;
  std::chrono::milliseconds health_check;
};
AgentTimes agent_times(const AgentConfig& agent);

}  // namespace kata::config
