#include "guest/rpc/agent.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "guest/boot/modules.h"
#include "guest/boot/power.h"
#include "guest/boot/reaper.h"
#include "guest/rpc/acceptor.h"
#include "guest/rpc/container_service.h"
#include "guest/rpc/extra_service.h"
#include "guest/rpc/guest_service.h"
#include "guest/rpc/health_service.h"
#include "guest/rpc/network_service.h"
#include "guest/rpc/process_service.h"
#include "guest/rpc/sandbox_service.h"
#include "guest/sandbox/sandbox.h"
#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/log/log.h"
#include "lib/ttrpc/server.h"

namespace kata::rpc {
namespace {

// Answers that are under way may still leave.
constexpr std::chrono::seconds kFlushLimit{2};

class Agent {
 public:
  Agent(const AgentOptions& options, boot::Booted booted)
      : options_(options),
        booted_(std::move(booted)),
        server_(ttrpc::Server::create()),
        reaper_(io_.get_executor()),
        signals_(io_.get_executor(), SIGTERM, SIGINT),
        stop_(io_.get_executor()),
        modules_loaded_(io_.get_executor()),
        sandbox_(io_.get_executor(), booted_.config),
        uevents_(io_.get_executor()),
        context_{.sandbox = sandbox_,
                 .uevents = uevents_,
                 .config = booted_.config,
                 .role = options.role,
                 .times = booted_.times,
                 .modules_loaded = modules_loaded_,
                 .stop = [this] { stop_.set(); }},
        tasks_(io_.get_executor(), [](std::string_view task, const Error& error) {
          log::debug("task ended with an error", {{"task", std::string(task)}, {"error", error.message()}});
        }) {
    ::signal(SIGPIPE, SIG_IGN);
  }

  int run() {
    register_services();
    start_watching_devices();
    reaper_.start();
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      log::info("ending on a signal", {{"signal", std::to_string(number)}});
      stop_.set();
    });
    int code = EXIT_SUCCESS;
    asio::co_spawn(io_, main(), [&](const std::exception_ptr& failure) {
      if (failure) {
        log::error("agent failed", {{"error", to_error(failure).message()}});
        code = EXIT_FAILURE;
      }
      io_.stop();
    });
    io_.run();
    return code;
  }

 private:
  Awaitable<> main() {
    Acceptor acceptor(io_.get_executor(), std::move(booted_.listener), booted_.address, server_);
    tasks_.spawn("accepting connections", acceptor.run(tasks_));
    co_await load_modules();
    co_await stop_.wait();
    server_->stop();
    tasks_.cancel();
    try {
      co_await with_deadline(tasks_.join(), kFlushLimit, "ending the connections");
    } catch (const Error& error) {
      log::warning(error.message());
    }
    signals_.cancel();
    reaper_.stop();
    uevents_.stop();
  }

  void register_services() {
    add_health_service(*server_);
    add_sandbox_methods(*server_, context_);
    add_container_methods(*server_, context_);
    add_process_methods(*server_, context_);
    add_guest_methods(*server_, context_);
    add_network_methods(*server_, context_);
    add_extra_methods(*server_, context_);
  }

  void start_watching_devices() {
    sandbox_.set_device_finder([this](std::string driver, std::string address) {
      return context_.find_device(std::move(driver), std::move(address));
    });
    try {
      uevents_.start();
    } catch (const Error& error) {
      // Devices that are there already are still found.
      log::warning("device events are not seen", {{"error", error.message()}});
    }
  }

  // One module a turn of the event loop: calls that come meanwhile are answered in between.
  Awaitable<> load_modules() {
    for (const std::string& path : booted_.remaining_modules) {
      co_await asio::post(io_.get_executor(), asio::use_awaitable);
      boot::load_module(path);
    }
    modules_loaded_.set();
  }

  AgentOptions options_;
  boot::Booted booted_;
  asio::io_context io_{1};
  std::shared_ptr<ttrpc::Server> server_;
  boot::Reaper reaper_;
  asio::signal_set signals_;
  Event stop_;
  Event modules_loaded_;
  sandbox::Sandbox sandbox_;
  device::UeventWatcher uevents_;
  AgentContext context_;
  TaskGroup tasks_;
};

}  // namespace

int run_agent(const AgentOptions& options) {
  int code = EXIT_FAILURE;
  try {
    Agent agent(options, boot::boot(options.role, options.config_path));
    code = agent.run();
  } catch (...) {
    log::error("agent cannot start", {{"error", to_error(std::current_exception()).message()}});
  }
  if (options.role == boot::Role::kInit) {
    log::info("powering off");
    boot::power_off();
  }
  return code;
}

}  // namespace kata::rpc
