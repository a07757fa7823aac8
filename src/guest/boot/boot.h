// The start of the agent: from the first instruction of pid 1 to a listening socket.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "guest/boot/agent_config.h"
#include "guest/boot/listener.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

namespace kata::boot {

// Nanoseconds of CLOCK_BOOTTIME; 0 = that step did not happen.
struct BootTimes {
  uint64_t started = 0;
  uint64_t modules_started = 0;
  uint64_t modules_loaded = 0;
  uint64_t listening = 0;
};
uint64_t boot_clock_ns();

struct Booted {
  AgentConfig config;
  ListenAddress address;
  UniqueFd listener;
  BootTimes times;
  // Kernel modules that are still to be loaded, in this order (modules.h).
  std::vector<std::string> device_modules, remaining_modules;
};

// Brings the guest up as kInit, reads the configuration (`config_path` not empty: that file instead of
// the kernel command line), and listens. What can wait comes after the socket listens: the host is already
// knocking. Throws Error when the agent cannot start.
enum class Role { kInit, kService };
Booted boot(Role role, const std::string& config_path);

// Log lines as text to /dev/console (pid 1) or stderr.
std::unique_ptr<log::Sink> console_sink(Role role);

}  // namespace kata::boot
