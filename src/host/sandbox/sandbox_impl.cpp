#include "host/sandbox/sandbox_impl.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "host/agent/spec_message.h"
#include "host/config/cri_annotations.h"
#include "host/sandbox/agent_errors.h"
#include "host/sandbox/container_stats.h"
#include "host/sandbox/phase_timer.h"
#include "host/sandbox/vm_plan.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/failpoint/failpoint.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;

// Limit of one signal: containerd's callers wait for Kill, and a guest that does not take a signal in this
// time takes none.
constexpr Duration kSignalLimit = 8s;

void check_takes_execs(const Container& target, const std::string& exec) {
  const char* reason = nullptr;
  switch (target.init->state()) {
    case ProcessState::kRunning:
      return;
    case ProcessState::kCreated:
      reason = " cannot run: the container was not started yet";
      break;
    case ProcessState::kPaused:
    case ProcessState::kPausing:
      reason = " cannot run: the container is paused; resume it first";
      break;
    case ProcessState::kStopped:
      reason = " cannot run: the container has ended";
      break;
  }
  throw Error(Code::kFailedPrecondition, exec + reason);
}

// Once more after the start: an agent may not know the size that came with the process.
Awaitable<> apply_size(std::shared_ptr<agent::AgentClient> client, std::shared_ptr<Process> exec) {
  const oci::Box size = *exec->kept_size();
  try {
    co_await client->resize(exec->container_id(), exec->exec_id(), size.height, size.width);
  } catch (const Error& error) {
    log::debug("size of a terminal", {{"process", exec->name()}, {"error", error.message()}});
  }
}

}  // namespace

std::shared_ptr<Sandbox> Sandbox::create(asio::any_io_executor executor, SandboxConfig config,
                                         std::shared_ptr<EventSink> events) {
  return std::make_shared<SandboxImpl>(std::move(executor), std::move(config), std::move(events));
}

SandboxImpl::SandboxImpl(asio::any_io_executor executor, SandboxConfig config,
                         std::shared_ptr<EventSink> events, SandboxParts parts)
    : executor_(std::move(executor)),
      config_(std::move(config)),
      events_(std::move(events)),
      parts_(std::move(parts)),
      run_dir_(config_.id, parts_.run_root),
      resources_(executor_, config_.id, parts_.make_cgroup),
      failed_(executor_),
      boot_mutex_(executor_),
      stopped_(executor_),
      watchers_(executor_,
                [](std::string_view task, const Error& error) {
                  log::warning("watcher ended with an error",
                               {{"watcher", std::string(task)}, {"error", error.message()}});
                }),
      supervisors_(executor_, [](std::string_view task, const Error& error) {
        log::error("supervision of a process failed",
                   {{"process", std::string(task)}, {"error", error.message()}});
      }) {
  state_.sandbox_id = config_.id;
  state_.containerd_namespace = config_.containerd_namespace;
}

std::shared_ptr<Container> SandboxImpl::container(const std::string& id) const {
  const auto found = containers_.find(id);
  if (found == containers_.end())
    throw Error(Code::kNotFound, "container " + id + " not found in sandbox " + config_.id);
  return found->second;
}

std::shared_ptr<Process> SandboxImpl::process(const std::string& container_id,
                                              const std::string& exec_id) const {
  const auto target = container(container_id);
  if (exec_id.empty()) return target->init;
  const auto found = target->execs.find(exec_id);
  if (found == target->execs.end()) {
    throw Error(Code::kNotFound, "exec " + exec_id + " not found in container " + container_id);
  }
  return found->second;
}

std::shared_ptr<agent::AgentClient> SandboxImpl::agent() const {
  if (agent_ && agent_->is_open()) return agent_;
  throw Error(Code::kUnavailable,
              "sandbox " + config_.id +
                  (failure_.empty() ? ": its VM does not run" : ": its VM has ended: " + failure_));
}

GuestSpecRules SandboxImpl::spec_rules(const Container& target) const {
  GuestSpecRules rules = plan_spec_rules(config_.config);
  rules.bundle = target.bundle;
  rules.container_type =
      config::container_kind_name(config::read_cri_annotations(target.spec.annotations, target.id).kind);
  return rules;
}

void SandboxImpl::forget(const std::string& id) {
  resources_.erase_container(id);
  containers_.erase(id);
  std::erase(order_, id);
}

Awaitable<uint32_t> SandboxImpl::start(std::string container_id, std::string exec_id) {
  const auto self = shared_from_this();
  const auto target = container(container_id);
  const auto subject = process(container_id, exec_id);
  const auto lock = co_await (exec_id.empty() ? target->mutex : subject->mutex()).lock();
  if (subject->state() != ProcessState::kCreated) {
    throw Error(Code::kFailedPrecondition, subject->name() + " cannot be started: it was started before");
  }
  std::exception_ptr failure;
  try {
    if (exec_id.empty()) {
      const PhaseTimer timer("container start");
      const auto client = agent();
      co_await while_alive(client->start_container(container_id));
      if (!subject->stopped()) subject->set_state(ProcessState::kRunning);
      resources_.settle();
      if (resources_.pins_vcpus()) co_await resources_.place_vcpus(*driver_);
      co_await run_poststart_hooks(target);
      KATA_FAILPOINT("container-started");
    } else {
      co_await start_exec(target, subject);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) throw co_await explained(failure, "starting " + subject->name());
  co_return pid();
}

Awaitable<> SandboxImpl::start_exec(std::shared_ptr<Container> target, std::shared_ptr<Process> exec) {
  check_takes_execs(*target, exec->name());
  co_await exec->open_stdio(plan_stdio(config_.config, config_.containerd_namespace));
  std::exception_ptr failure;
  const auto client = agent();
  const Container::ExecSpec spec = target->exec_specs.at(exec->exec_id());
  oci::Process process = guest_exec_process(spec.process, spec_rules(*target));
  process.terminal = exec->stdio().terminal;
  if (exec->kept_size()) process.console_size = exec->kept_size();
  try {
    if (!spec.extras.empty()) co_await client->set_spec_extras(target->id, exec->exec_id(), spec.extras);
    co_await while_alive(client->exec_process(target->id, exec->exec_id(), std::move(process)));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await exec->close_streams();
    exec->abandon();
    std::rethrow_exception(failure);
  }
  target->exec_specs.erase(exec->exec_id());
  exec->set_state(ProcessState::kRunning);
  exec->start_streams(client);
  supervisors_.spawn(exec->name(), supervise_exec(target, exec));
  if (exec->stdio().terminal && exec->kept_size()) co_await apply_size(client, exec);
  KATA_FAILPOINT("exec-started");
}

void SandboxImpl::add_exec(ExecRequest request) {
  const auto target = container(request.container_id);
  if (!valid_id(request.exec_id))
    throw Error(Code::kInvalidArgument, "exec id \"" + request.exec_id + "\" is not valid");
  if (target->execs.contains(request.exec_id)) {
    throw Error(Code::kAlreadyExists,
                "exec " + request.exec_id + " exists already in container " + target->id);
  }
  if (target->init->state() != ProcessState::kCreated) {
    check_takes_execs(*target, "exec " + request.exec_id + " of container " + target->id);
  }
  target->execs[request.exec_id] =
      std::make_shared<Process>(executor_, target->id, request.exec_id, std::move(request.stdio));
  if (!agent::needs_extras(request.process)) request.json.clear();
  target->exec_specs[request.exec_id] = {.process = std::move(request.process),
                                         .extras = std::move(request.json)};
}

Awaitable<ExitInfo> SandboxImpl::wait(std::string container_id, std::string exec_id) {
  const auto subject = process(container_id, exec_id);
  co_return co_await subject->wait();
}

Awaitable<ExitInfo> SandboxImpl::remove_exec(std::shared_ptr<Container> target,
                                             std::shared_ptr<Process> exec) {
  const auto self = shared_from_this();
  const auto lock = co_await exec->mutex().lock();
  if (exec->state() == ProcessState::kRunning) {
    throw Error(Code::kFailedPrecondition, exec->name() + " is running: it cannot be deleted");
  }
  co_await exec->close_streams();
  exec->abandon();
  target->exec_specs.erase(exec->exec_id());
  target->execs.erase(exec->exec_id());
  co_return exec->exit();
}

Awaitable<ExitInfo> SandboxImpl::remove(std::string container_id, std::string exec_id) {
  const auto self = shared_from_this();
  const auto target = container(container_id);
  if (!exec_id.empty()) co_return co_await remove_exec(target, process(container_id, exec_id));
  // Its manager has given up the create call.
  if (target->creating) target->aborted.set();
  const auto lock = co_await target->mutex.lock();
  // Killed on its way into the guest, it is gone by now.
  if (target->aborted.is_set()) co_return target->init->exit();
  const auto subject = process(container_id, exec_id);
  if (subject->state() != ProcessState::kStopped && subject->state() != ProcessState::kCreated) {
    throw Error(Code::kFailedPrecondition, "container " + container_id + " is running: it cannot be deleted");
  }
  if (subject->state() == ProcessState::kCreated) {
    // Never started: the guest's half ends now, and its supervisor sees that.
    co_await clean_up_container(target);
    subject->limit_drain();
    subject->abandon();
  }
  co_await end_execs(target);
  co_await subject->close_streams();
  co_await run_poststop_hooks(target);
  KATA_FAILPOINT("deleting");
  forget(container_id);
  co_return subject->exit();
}

Awaitable<> SandboxImpl::kill(std::string container_id, std::string exec_id, uint32_t signal,
                              KillScope scope) {
  const auto self = shared_from_this();
  const auto target = container(container_id);
  const auto subject = process(container_id, exec_id);
  if (subject->stopped())
    throw Error(Code::kNotFound, subject->name() + " has ended: process already finished");
  if (!exec_id.empty() && subject->state() == ProcessState::kCreated) {
    throw Error(Code::kFailedPrecondition,
                subject->name() + " was not started: there is no process to signal");
  }
  if (signal > 64)
    throw Error(Code::kInvalidArgument, "signal " + std::to_string(signal) + " does not exist");
  const bool final = signal == SIGKILL || signal == SIGTERM;
  if (target->creating) {
    if (!final) {
      throw Error(Code::kFailedPrecondition,
                  subject->name() + " is being created: there is no process to signal yet");
    }
    target->aborted.set();
    co_return;
  }
  std::exception_ptr failure;
  try {
    const auto client = agent();
    // An empty exec id with SIGKILL means every process of the container to the agent.
    const std::string receiver = scope == KillScope::kAll ? "" : exec_id;
    co_await with_deadline(client->signal_process(container_id, receiver, signal), kSignalLimit,
                           "signal " + std::to_string(signal) + " to " + subject->name());
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (signal == SIGKILL) subject->limit_drain();
  if (!failure) co_return;
  const Error error = to_error(failure);
  if (final && (is_gone(error) || is_connection_closed(error))) {
    log::info("signal to a process that is gone",
              {{"process", subject->name()}, {"reason", error.message()}});
    co_return;
  }
  if (signal == SIGKILL && error.code() == Code::kDeadlineExceeded) fail("the guest does not take signals");
  throw error;
}

Awaitable<> SandboxImpl::resize(std::string container_id, std::string exec_id, uint32_t width,
                                uint32_t height) {
  const auto subject = process(container_id, exec_id);
  if (!subject->stdio().terminal || subject->stopped()) co_return;
  if (!exec_id.empty() && subject->state() == ProcessState::kCreated) {
    subject->keep_size({.height = height, .width = width});
    co_return;
  }
  const auto client = agent();
  co_await client->resize(container_id, exec_id, height, width);
}

Awaitable<> SandboxImpl::close_stdin(std::string container_id, std::string exec_id) {
  const auto subject = process(container_id, exec_id);
  co_await subject->close_stdin();
}

Awaitable<> SandboxImpl::pause(std::string container_id) {
  const auto target = container(container_id);
  const auto lock = co_await target->mutex.lock();
  if (target->init->state() != ProcessState::kRunning) {
    throw Error(Code::kFailedPrecondition,
                "container " + container_id + " does not run: it cannot be paused");
  }
  const auto client = agent();
  co_await client->pause_container(container_id);
  if (!target->init->stopped()) target->init->set_state(ProcessState::kPaused);
}

Awaitable<> SandboxImpl::resume(std::string container_id) {
  const auto target = container(container_id);
  const auto lock = co_await target->mutex.lock();
  if (target->init->state() != ProcessState::kPaused) {
    throw Error(Code::kFailedPrecondition, "container " + container_id + " is not paused");
  }
  const auto client = agent();
  co_await client->resume_container(container_id);
  if (!target->init->stopped()) target->init->set_state(ProcessState::kRunning);
}

Awaitable<> SandboxImpl::update(std::string container_id, oci::Resources resources) {
  const auto target = container(container_id);
  if (target->init->stopped())
    throw Error(Code::kFailedPrecondition, "container " + container_id + " has ended");
  const auto client = agent();
  // First room, then the permission to use it; what is taken away, the other way round.
  oci::Resources before = resources_.update_container(container_id, resources);
  std::exception_ptr failure;
  try {
    co_await resources_.fit_vm(*driver_, client, SandboxResources::Fit::kOnlyGrow);
    co_await client->update_container(container_id, guest_resources(resources));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) resources_.restore_container(container_id, std::move(before));
  co_await adapt_vm();
  if (failure) std::rethrow_exception(failure);
}

// After something became less: the VM gives back what it can, the node's limits follow.
Awaitable<> SandboxImpl::adapt_vm() {
  try {
    co_await resources_.fit_vm(*driver_, agent(), SandboxResources::Fit::kExact);
    if (resources_.pins_vcpus()) co_await resources_.place_vcpus(*driver_);
  } catch (const Error& error) {
    log::warning("the VM keeps its size", {{"error", error.message()}});
  }
  resources_.settle();
}

Awaitable<ContainerStats> SandboxImpl::stats(std::string container_id) {
  const auto target = container(container_id);
  ContainerStats stats;
  // After the exit the guest has nothing left to count; the OOM counter is what callers look for then.
  if (target->in_guest && !target->init->stopped()) {
    const auto client = agent();
    stats = to_stats(co_await client->stats(container_id));
  }
  auto& oom_kills = stats.memory_stat["oom_kill"];
  oom_kills = std::max(oom_kills, target->oom_kills);
  co_return stats;
}

Awaitable<std::vector<uint32_t>> SandboxImpl::pids(std::string container_id) {
  const auto target = container(container_id);
  std::vector<uint32_t> pids{pid()};
  if (!target->in_guest || target->init->stopped()) co_return pids;
  const auto client = agent();
  const auto processes = co_await client->list_processes(container_id);
  // The first process is the one that has the reported pid already.
  for (const agent::GuestProcess& process : processes.value_or(std::vector<agent::GuestProcess>{})) {
    if (process.exec_id != container_id) pids.push_back(process.pid);
  }
  co_return pids;
}

ProcessStatus SandboxImpl::status(const std::string& container_id, const std::string& exec_id) const {
  const auto target = container(container_id);
  const auto subject = process(container_id, exec_id);
  return {.container_id = container_id,
          .exec_id = exec_id,
          .bundle = target->bundle,
          .state = subject->state(),
          .pid = pid(),
          .stdio = subject->stdio(),
          .exit = subject->exit()};
}

uint32_t SandboxImpl::pid() const {
  return driver_ ? static_cast<uint32_t>(driver_->pid()) : 0;
}

std::string SandboxImpl::agent_url() const {
  return transport_ ? transport_->dialer()->url(config_.config.agent.server_port) : "";
}

}  // namespace kata::sandbox
