// What the agent was told at start: kernel command line, environment, configuration file (agent-api facts,
// section 8).
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::boot {

// Which cgroup hierarchies pid 1 mounts.
enum class CgroupLayout { kUnified, kHybrid, kLegacy };

struct AgentConfig {
  log::Level log_level = log::Level::kInfo;
  std::string server_address = "vsock://-1:1024";
  std::chrono::seconds hotplug_timeout{3};
  std::chrono::seconds cdi_timeout{100};
  // Of a pull by the confidential-data-hub.
  std::chrono::seconds image_pull_timeout{1200};
  // What a watched folder (watchable-bind) may hold to be followed.
  uint32_t watchable_files = 16;
  uint32_t watchable_bytes = 1 << 20;
  // The environment of a container may ask for CDI devices.
  bool visible_cdi_devices = false;
  // vsock port where log lines go besides the console, 0 = none.
  uint32_t log_port = 0;
  bool debug_console = false;
  // vsock port of the debug console, 0 = on /dev/console.
  uint32_t debug_console_port = 0;
  // vsock port of connections to ports inside the guest, 0 = none.
  uint32_t forward_port = 0;
  // Bytes, 0 = the kernel's default.
  uint32_t container_pipe_size = 0;
  CgroupLayout cgroups = CgroupLayout::kUnified;
  // Not empty: `agent.config_file` names the file that replaces everything else.
  std::string config_file;
  // Keys that were understood but have no effect in this agent, and keys nobody knows: one text each, for the
  // log.
  std::vector<std::string> warnings;
};

// Splits a kernel command line into words: blanks separate, double quotes keep them together and are removed
// where the kernel removes them (around a word or around a value).
std::vector<std::string> split_command_line(std::string_view line);

// Reads the agent's keys out of /proc/cmdline's text. Words of other parties are passed over. A value that
// does not parse is kInvalidArgument naming key, value and what is allowed: the agent must not start with
// half a configuration.
std::expected<AgentConfig, Error> parse_command_line(std::string_view line);

// The same keys in a TOML file: `name = value` with the names of the command line less "agent." and five
// names of its own (section 8); time-outs as `{ secs = N, nanos = N }` or as a table. Other keys are ignored.
std::expected<AgentConfig, Error> parse_config_file(std::string_view text);

// KATA_AGENT_SERVER_ADDR, KATA_AGENT_LOG_LEVEL, KATA_AGENT_TRACING, KATA_AGENT_POLICY_FILE from "K=V"
// entries.
std::expected<void, Error> apply_environment(const char* const* environment, AgentConfig& config);

}  // namespace kata::boot
