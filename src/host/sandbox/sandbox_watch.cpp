// What happens in a sandbox without being asked: exits, deaths, lost connections.
#include <algorithm>
#include <csignal>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>

#include "host/sandbox/agent_errors.h"
#include "host/sandbox/guest_clock.h"
#include "host/sandbox/sandbox_impl.h"
#include "host/sandbox/vm_plan.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr Duration kHealthInterval = 30s;
// How long the execs of an ended container may take to end; they were killed with it.
constexpr Duration kExecEndLimit = 2s;
constexpr Duration kCleanUpLimit = 8s;
// Together below the ten seconds in which every call is answered.
constexpr Duration kAliveInterval = 5s;
constexpr Duration kAliveLimit = 4s;
// How long after the connection's end its cause may be seen.
constexpr Duration kCauseLimit = 500ms;

}  // namespace

void SandboxImpl::start_watchers() {
  // First, so that the clock is right before the guest is asked for a container.
  watchers_.spawn("clock", follow_guest_clock());
  watchers_.spawn("VMM", watch_vm());
  watchers_.spawn("guest panic", watch_guest_panic());
  watchers_.spawn("virtiofsd", watch_share());
  if (transport_->process()) watchers_.spawn("vsock device", watch_vsock_device());
  watchers_.spawn("agent connection", watch_agent());
  watchers_.spawn("out of memory", watch_oom());
  watchers_.spawn("health", probe_health());
  if (network_->can_follow()) watchers_.spawn("links", network_->follow(agent_, driver_->nic_plug()));
  if (auto listeners = network_->take_listeners()) {
    port_forward_ =
        std::make_unique<network::PortForward>(executor_, std::move(*listeners), transport_->dialer());
    watchers_.spawn("port-forward", port_forward_->run());
  }
}

void SandboxImpl::fail(const std::string& cause) {
  if (phase_ == Phase::kStopping || phase_ == Phase::kStopped || !failure_.empty()) return;
  failure_ = cause;
  failed_.set();
  std::string console;
  for (const std::string& line : driver_->last_console_lines(5)) console += line + "\n";
  log::error("the sandbox ends by itself",
             {{"cause", cause}, {"vmm_output", driver_->error_output()}, {"console", console}});
  // Not a child of the watchers, since stopping cancels those, and not of the supervisors, which it joins.
  // Not at once: the caller is a watcher, and others may not have begun.
  asio::post(executor_, [self = shared_from_this()] {
    asio::co_spawn(self->executor_, self->stop(), [self](const std::exception_ptr&) {});
  });
}

void SandboxImpl::agent_lost(const std::string& cause) {
  if (plan_agent_loss(config_.config) == AgentLoss::kEnds) return fail(cause);
  if (phase_ != Phase::kRunning) return;
  log::error("the guest agent is lost, and the VM kept for whoever wants to know why (runtime.keep_abnormal)",
             {{"cause", cause}});
}

Awaitable<> SandboxImpl::watch_vm() {
  const auto exit = co_await driver_->wait();
  const std::string out_of_memory = exit.status.signal == SIGKILL ? resources_.out_of_memory() : "";
  if (out_of_memory.empty()) {
    fail(exit.reason);
    co_return;
  }
  // To whoever asks for the reason of a container's end this one is no other than the guest's own.
  for (const auto& [id, target] : containers_) {
    if (!target->init->stopped()) events_->on_oom(id);
  }
  fail(exit.reason + ": " + out_of_memory);
}

Awaitable<> SandboxImpl::watch_guest_panic() {
  const std::string reason = co_await driver_->guest_failure();
  fail(reason);
}

Awaitable<> SandboxImpl::watch_share() {
  const std::string reason = co_await share_end();
  fail(reason);
}

Awaitable<> SandboxImpl::watch_vsock_device() {
  const std::string reason = co_await device_end();
  fail(reason);
}

Awaitable<> SandboxImpl::watch_agent() {
  co_await agent_->closed();
  // A dying VM takes the connection with it a moment before its own end is seen.
  co_await pause_for(200ms);
  agent_lost("the connection to the guest agent is lost");
}

Awaitable<> SandboxImpl::watch_oom() {
  const auto client = agent_;
  for (;;) {
    std::exception_ptr failure;
    std::string id;
    try {
      id = co_await client->oom_event();
    } catch (const Error&) {
      failure = std::current_exception();
    }
    if (failure) {
      const Error error = to_error(failure);
      if (is_connection_closed(error) || !client->is_open()) {
        log::info("watching for lack of memory ends: the agent is gone");
        co_return;
      }
      if (error.code() == Code::kUnimplemented) co_return;
      log::warning("watching for lack of memory", {{"error", error.message()}});
      co_await pause_for(1s);
      continue;
    }
    const auto found = containers_.find(id);
    if (found != containers_.end()) ++found->second->oom_kills;
    log::info("a container ran out of memory", {{"container", id}});
    events_->on_oom(id);
  }
}

Awaitable<> SandboxImpl::probe_health() {
  for (;;) {
    co_await pause_for(kHealthInterval);
    std::exception_ptr failure;
    try {
      co_await agent_->check();
    } catch (const Error&) {
      failure = std::current_exception();
    }
    if (failure) {
      agent_lost("the guest agent does not answer the health probe: " + to_error(failure).message());
      co_return;
    }
  }
}

Awaitable<> SandboxImpl::follow_guest_clock() {
  const auto client = agent_;
  GuestClock clock{.set = [client] { return client->set_clock(); },
                   .adjust = [client](std::chrono::nanoseconds by) { return client->adjust_clock(by); }};
  std::exception_ptr failure;
  try {
    co_await follow_clock(std::move(clock));
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (!failure || !client->is_open()) co_return;
  log::warning("the guest's clock is not kept right any more", {{"error", to_error(failure).message()}});
}

Awaitable<> SandboxImpl::until_silent() {
  const auto client = agent();
  for (;;) {
    co_await pause_for(kAliveInterval);
    co_await with_deadline(client->check(), kAliveLimit, "any answer of the guest");
  }
}

Awaitable<> SandboxImpl::while_alive(Awaitable<> call) {
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor_, std::move(call), asio::deferred),
                                              asio::co_spawn(executor_, until_silent(), asio::deferred));
  auto [order, failed, silent] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  const std::exception_ptr failure = order[0] == 0 ? failed : silent;
  if (failure) std::rethrow_exception(failure);
}

Awaitable<Error> SandboxImpl::explained(std::exception_ptr failure, std::string tried) {
  const Error error = to_error(failure);
  if (phase_ == Phase::kNew || phase_ == Phase::kBooting) co_return error;
  if (failure_.empty() && is_connection_closed(error)) {
    try {
      co_await with_deadline(failed_.wait(), kCauseLimit, "looking for what broke");
    } catch (const Error&) {
      // The sandbox goes on: it is only what was said.
    }
  }
  if (failure_.empty()) co_return error;
  co_return Error(Code::kUnavailable, tried + ": sandbox " + config_.id + " has ended: " + failure_);
}

void SandboxImpl::report_exit(const Process& ended) {
  log::info("process ended", {{"process", ended.name()}, {"status", std::to_string(ended.exit().status)}});
  events_->on_exit(ended.container_id(), ended.exec_id(), pid(), ended.exit());
}

Awaitable<> SandboxImpl::supervise_exec(std::shared_ptr<Container> target, std::shared_ptr<Process> exec) {
  const auto self = shared_from_this();
  const ExitInfo end = co_await exec->collect();
  if (exec->stopped()) co_return;
  exec->finish(end);
  report_exit(*exec);
  co_await exec->close_streams();
}

Awaitable<> SandboxImpl::end_execs(std::shared_ptr<Container> target) {
  for (const auto& [id, exec] : std::map(target->execs)) {
    if (exec->state() != ProcessState::kRunning) continue;
    exec->limit_drain();
    try {
      co_await with_deadline(exec->wait(), kExecEndLimit, "end of " + exec->name());
    } catch (const Error&) {
      const ExitInfo killed{.status = 128 + SIGKILL, .at = std::chrono::system_clock::now()};
      exec->finish(exec->seen_exit().value_or(killed));
      report_exit(*exec);
    }
  }
}

Awaitable<> SandboxImpl::clean_up_container(std::shared_ptr<Container> target) {
  const auto step = [&](const char* what, Awaitable<> work) -> Awaitable<> {
    try {
      co_await with_deadline(std::move(work), kCleanUpLimit, what);
    } catch (const Error& error) {
      log::warning("cleaning up a container",
                   {{"container", target->id}, {"step", what}, {"error", error.message()}});
    }
  };
  if (std::exchange(target->in_guest, false) && agent_ && agent_->is_open()) {
    if (!target->termination_log.empty())
      co_await step("fetching its termination message", fetch_termination_message(target));
    co_await step("removing it in the guest", agent_->remove_container(target->id));
  }
  if (disks_) co_await step("taking out its disks", release_disks(target));
  for (const std::string& path : std::exchange(target->volumes, {})) {
    co_await step("giving back a volume", share_->unshare_path(path));
  }
  if (std::exchange(target->rootfs_shared, false)) {
    try {
      share_->unshare_rootfs(target->id);
    } catch (const Error& error) {
      log::warning("taking a rootfs out of the shared tree",
                   {{"container", target->id}, {"error", error.message()}});
    }
  }
  if (target->mounted) co_await step("unmounting its rootfs", target->mounted->release());
}

bool SandboxImpl::others_alive(const std::string& id) const {
  return std::ranges::any_of(
      containers_, [&](const auto& entry) { return entry.first != id && !entry.second->init->stopped(); });
}

// The order is B1's: output delivered, status known, the guest's and the node's halves cleaned up, then the
// exit is told. Whoever hears of the exit finds nothing left to clean.
Awaitable<> SandboxImpl::supervise_init(std::shared_ptr<Container> target) {
  const auto self = shared_from_this();
  const auto init = target->init;
  const ExitInfo end = co_await init->collect();
  if (init->stopped()) co_return;
  co_await end_execs(target);
  co_await clean_up_container(target);
  if (init->stopped()) co_return;
  resources_.erase_container(target->id);
  init->finish(end);
  report_exit(*init);
  co_await init->close_streams();
  const bool kept = !agent_->is_open() && plan_agent_loss(config_.config) == AgentLoss::kKept;
  if (target->id == config_.id && !others_alive(target->id) && phase_ == Phase::kRunning && !kept) {
    // The pod ends with its first container: the VM goes while the caller still asks what happened.
    asio::co_spawn(executor_, stop(), [self](const std::exception_ptr&) {});
  } else if (phase_ == Phase::kRunning) {
    co_await adapt_vm();
  }
}

}  // namespace kata::sandbox
