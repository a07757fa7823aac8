// The management socket of a running sandbox: HTTP/1.1 for kata-ctl, kata-monitor and Prometheus (facts:
// containerd-shim-api, section 16).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "host/sandbox/sandbox.h"
#include "host/shim/management_routes.h"
#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"

namespace kata::shim {

// Listens from construction to stop(). Requests, their number at a time and their duration are bounded: no
// client can hurt the pod.
class ManagementServer {
 public:
  struct Source {
    // The sandbox, or null when there is none at the moment.
    std::function<std::shared_ptr<sandbox::Sandbox>()> sandbox;
    OwnMetrics own_metrics;
  };

  // Throws Error when the socket cannot be bound.
  ManagementServer(const asio::any_io_executor& executor, std::string path, Source source);
  ~ManagementServer();
  ManagementServer(const ManagementServer&) = delete;
  ManagementServer& operator=(const ManagementServer&) = delete;

  // Ends all connections and removes the socket.
  Awaitable<> stop();

 private:
  Awaitable<> accept_loop();

  std::string path_;
  Source source_;
  asio::local::stream_protocol::acceptor acceptor_;
  TaskGroup tasks_;
};

}  // namespace kata::shim
