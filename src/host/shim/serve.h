// The long-running process of a sandbox: serves the task API until the pod is over.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "host/shim/backend.h"
#include "host/shim/flags.h"
#include "host/shim/pod.h"
#include "host/shim/task_events.h"
#include "host/shim/task_service.h"
#include "lib/async/awaitable.h"
#include "lib/fd/unique_fd.h"

namespace kata::shim {

struct ServeSettings {
  std::string sandbox_id;
  std::string containerd_namespace;
  Manager manager = Manager::kContainerd;
  std::string ttrpc_address;
  std::string options;
  std::string monitor_socket;
  Duration answer_limit = kAnswerLimit;
  Duration idle_limit = kIdleLimit;
  Duration unused_limit = kUnusedLimit;
  SandboxFactory make_sandbox;
  ConfigLoader load_config;
};

// Serves connections of `listener` (a listening Unix socket) until Shutdown, then delivers the queued events
// for at most a second and closes all connections.
Awaitable<> serve_tasks(UniqueFd listener, ServeSettings settings);

// The process: signals, log, loop. Returns the exit code. The current directory is the bundle.
int serve(const Flags& flags, const Backend& backend);

}  // namespace kata::shim
