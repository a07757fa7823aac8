// The agent as a whole: boot, services, event loop, end.
#pragma once

#include <string>

#include "guest/boot/boot.h"

namespace kata::rpc {

struct AgentOptions {
  boot::Role role = boot::Role::kService;
  // Empty: the kernel command line.
  std::string config_path;
};

// Boots, serves until DestroySandbox or a termination signal, and gives everything back. Returns the exit
// code of the process. As pid 1 it powers the machine off before it would return.
int run_agent(const AgentOptions& options);

}  // namespace kata::rpc
