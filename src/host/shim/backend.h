// What stands behind the shim; tests put fakes here.
#pragma once

#include <functional>
#include <string>

#include "host/shim/delete.h"
#include "host/shim/pod.h"

namespace kata::shim {

struct Backend {
  SandboxFactory make_sandbox;
  ConfigLoader load_config;
  CleanUp clean_up;
  // Path of a sandbox's management socket, in a folder that the sandbox makes; none = no such socket.
  std::function<std::string(const std::string& sandbox_id)> monitor_socket;
};

}  // namespace kata::shim
