#include "guest/rpc/agent.h"

#include <csignal>
#include <cstdlib>
#include <functional>
#include <linux/vm_sockets.h>
#include <optional>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "guest/boot/modules.h"
#include "guest/boot/power.h"
#include "guest/boot/reaper.h"
#include "guest/channels/debug_console.h"
#include "guest/channels/forward_port.h"
#include "guest/channels/log_port.h"
#include "guest/rpc/acceptor.h"
#include "guest/rpc/container_service.h"
#include "guest/rpc/data_hub.h"
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
// Modules that nobody waits for are loaded when the first container has had the time to start: each holds the
// processor for longer than most calls.
constexpr std::chrono::seconds kModuleDelay{1};

class Agent {
 public:
  Agent(const AgentOptions& options, boot::Booted booted)
      : options_(options),
        booted_(std::move(booted)),
        server_(ttrpc::Server::create()),
        reaper_(io_.get_executor()),
        signals_(io_.get_executor(), SIGTERM, SIGINT),
        stop_(io_.get_executor()),
        device_modules_loaded_(io_.get_executor()),
        modules_wanted_(io_.get_executor()),
        modules_loaded_(io_.get_executor()),
        sandbox_(io_.get_executor(), booted_.config),
        uevents_(io_.get_executor()),
        context_{.sandbox = sandbox_,
                 .uevents = uevents_,
                 .config = booted_.config,
                 .role = options.role,
                 .times = booted_.times,
                 .device_modules_loaded = device_modules_loaded_,
                 .modules_wanted = modules_wanted_,
                 .modules_loaded = modules_loaded_,
                 .listens_at = booted_.address,
                 .tasks = tasks_,
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
    open_channels();
    tasks_.spawn("kernel modules", load_modules());
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
    sandbox_.set_image_puller([this](std::string image, std::string bundle) {
      return pull_image(kDataHubSocket, std::move(image), std::move(bundle),
                        booted_.config.image_pull_timeout);
    });
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

  // A channel that cannot be had is no reason to have no guest.
  void open_channels() {
    const boot::AgentConfig& config = booted_.config;
    const auto open = [](const char* what, const std::function<void()>& body) {
      try {
        body();
      } catch (const Error& error) {
        log::warning(std::string("no ") + what, {{"error", error.message()}});
      }
    };
    if (config.log_port != 0) {
      open("log port", [&] {
        UniqueFd listener = listen_on_port(config.log_port);
        tasks_.spawn("log port", log_port_.run(std::move(listener), tasks_));
        log::set_sink(log_port_.sink(boot::console_sink(options_.role)));
      });
    }
    if (config.forward_port != 0) {
      open("port-forward", [&] {
        tasks_.spawn("port-forward", channels::serve_forwards(listen_on_port(config.forward_port), tasks_));
      });
    }
    if (!config.debug_console) return;
    open("debug console", [&] {
      auto shells = channels::console_shells();
      if (config.debug_console_port != 0) {
        UniqueFd listener = listen_on_port(config.debug_console_port);
        tasks_.spawn("debug console",
                     channels::serve_console(std::move(listener), std::move(shells), tasks_));
      } else if (options_.role == boot::Role::kInit) {
        tasks_.spawn("debug console", channels::console_on_terminal("/dev/console", std::move(shells)));
      } else {
        log::warning(
            "agent.debug_console without agent.debug_console_vport: only for an agent that is pid 1");
      }
    });
  }

  static UniqueFd listen_on_port(uint32_t port) {
    return boot::listen_on(
        {.kind = boot::ListenAddress::Kind::kVsock, .cid = VMADDR_CID_ANY, .port = port, .path = {}});
  }

  // One module a turn of the event loop: calls that come meanwhile are answered in between.
  Awaitable<> load(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      co_await asio::post(io_.get_executor(), asio::use_awaitable);
      boot::load_module(path);
    }
  }

  Awaitable<> load_modules() {
    co_await load(booted_.device_modules);
    device_modules_loaded_.set();
    if (!booted_.remaining_modules.empty()) {
      try {
        co_await with_deadline(modules_wanted_.wait(), kModuleDelay, "need of kernel modules");
      } catch (const Error& nobody_asked) {
        if (nobody_asked.code() != Code::kDeadlineExceeded) throw;
      }
    }
    co_await load(booted_.remaining_modules);
    modules_loaded_.set();
  }

  AgentOptions options_;
  boot::Booted booted_;
  asio::io_context io_{1};
  std::shared_ptr<ttrpc::Server> server_;
  boot::Reaper reaper_;
  asio::signal_set signals_;
  Event stop_;
  Event device_modules_loaded_;
  Event modules_wanted_;
  Event modules_loaded_;
  sandbox::Sandbox sandbox_;
  device::UeventWatcher uevents_;
  AgentContext context_;
  channels::LogPort log_port_{io_.get_executor()};
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
