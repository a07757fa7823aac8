// The shim's one sandbox: made at the first create request, gone with its last container; or booted without
// one, gone when asked.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "host/config/config.h"
#include "host/sandbox/sandbox.h"
#include "host/shim/management.h"
#include "lib/async/awaitable.h"

namespace kata::shim {

using SandboxFactory = std::function<std::shared_ptr<sandbox::Sandbox>(
    asio::any_io_executor, sandbox::SandboxConfig, std::shared_ptr<sandbox::EventSink>)>;
using ConfigLoader = std::function<config::Config(const config::LoadRequest&)>;

class Pod {
 public:
  struct Parts {
    asio::any_io_executor executor;
    // The sandbox's id.
    std::string id;
    std::string containerd_namespace;
    SandboxFactory make_sandbox;
    ConfigLoader load_config;
    std::shared_ptr<sandbox::EventSink> events;
    // Where the management socket goes once the sandbox runs; empty = none.
    std::string monitor_socket;
    OwnMetrics own_metrics;
  };

  explicit Pod(Parts parts);

  // Creates the sandbox with the configuration that `where` leads to if there is none yet, then the
  // container. A sandbox whose first container could not be created is stopped and forgotten.
  Awaitable<uint32_t> create_container(sandbox::ContainerRequest request, config::LoadRequest where);
  // The same for a pod that has no container of its own: it lives until end() or stop(), whatever its
  // containers do. kAlreadyExists when there is a sandbox.
  Awaitable<uint32_t> boot(oci::Spec pod, config::LoadRequest where);
  // Whether it came by boot().
  [[nodiscard]] bool held() const { return held_; }
  // Stops the sandbox if there is one, but keeps it for questions about it. Idempotent.
  Awaitable<> end();
  // Throws kNotFound naming `container_id` when there is no sandbox.
  [[nodiscard]] std::shared_ptr<sandbox::Sandbox> sandbox_of(const std::string& container_id) const;
  // Null when there is none.
  [[nodiscard]] const std::shared_ptr<sandbox::Sandbox>& sandbox() const { return sandbox_; }
  // Waits until no create_container() is on its way.
  Awaitable<> creates_done();
  // Whether no container is left, and nothing else holds the sandbox.
  [[nodiscard]] bool empty() const;
  // The same, and nothing is on its way to change it.
  [[nodiscard]] bool idle() const { return empty() && creating_ == 0 && stopping_ == 0; }
  // Stops the sandbox if there is one. Idempotent; a failure is logged.
  Awaitable<> stop();

 private:
  std::shared_ptr<sandbox::Sandbox> make(const config::LoadRequest& where);
  void open_management();

  Parts parts_;
  std::shared_ptr<sandbox::Sandbox> sandbox_;
  std::shared_ptr<ManagementServer> management_;
  bool held_ = false;
  size_t creating_ = 0;
  size_t stopping_ = 0;
  // Cancelled whenever creating_ or stopping_ comes down to zero.
  asio::steady_timer changed_;
};

}  // namespace kata::shim
