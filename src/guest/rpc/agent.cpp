#include "guest/rpc/agent.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "guest/boot/power.h"
#include "guest/boot/reaper.h"
#include "guest/rpc/acceptor.h"
#include "guest/rpc/health_service.h"
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
        tasks_(io_.get_executor(), [](std::string_view task, const Error& error) {
          log::debug("task ended with an error", {{"task", std::string(task)}, {"error", error.message()}});
        }) {
    ::signal(SIGPIPE, SIG_IGN);
  }

  int run() {
    add_health_service(*server_);
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
  }

  AgentOptions options_;
  boot::Booted booted_;
  asio::io_context io_{1};
  std::shared_ptr<ttrpc::Server> server_;
  boot::Reaper reaper_;
  asio::signal_set signals_;
  Event stop_;
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
