#include <algorithm>
#include <csignal>
#include <sys/syscall.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "guest/container/init/stage.h"
#include "guest/container/launcher.h"
#include "guest/container/plan_builder.h"
#include "guest/container/stage_client.h"
#include "guest/container/user_namespace.h"
#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/error/teardown.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::container {
namespace {

// Mounts can hang on a dead share; the caller's own deadline is shorter as a rule.
constexpr auto kSetupLimit = std::chrono::seconds(120);
// A process that was sent SIGKILL and is not stuck in the kernel is gone long before.
constexpr auto kKillLimit = std::chrono::seconds(10);
// For the hooks of one kind together, where they set no timeout of their own.
constexpr auto kHooksLimit = std::chrono::minutes(5);

UniqueFd open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) throw_errno("opening a pidfd of the container's first process");
  return fd;
}

Duration limit_of(const std::vector<oci::Hook>& hooks) {
  Duration limit = kHooksLimit;
  for (const oci::Hook& hook : hooks)
    limit += std::chrono::seconds(std::clamp<int64_t>(hook.timeout, 0, 3600));
  return limit;
}

// In a child: a hook can block, and run_hooks blocks with it.
Awaitable<> run_agent_hooks(const std::vector<oci::Hook>& hooks, std::string kind, std::string state) {
  if (hooks.empty()) co_return;
  auto body = [&hooks, kind, state] { run_hooks(hooks, kind, state); };
  std::string what = kind + " hooks";
  co_await run_in_child(std::move(body), limit_of(hooks), std::move(what));
}

// The namespaces that the clone itself needs: the pid namespace, and for a new user namespace what it joins.
std::vector<UniqueFd> open_namespaces(PlannedContainer& planned, SpawnRequest& spawn) {
  std::vector<UniqueFd> opened;
  if (!planned.pid_namespace.empty()) {
    opened.push_back(open_file(planned.pid_namespace, O_RDONLY));
    spawn.pid_namespace_fd = opened.back().get();
  }
  if (!planned.plan.container->user_namespace) return opened;
  std::erase_if(planned.plan.joins, [&](const NamespaceJoin& join) {
    if (join.kind != CLONE_NEWIPC && join.kind != CLONE_NEWUTS) return false;
    opened.push_back(open_file(join.path, O_RDONLY));
    spawn.birth_namespaces.emplace_back(opened.back().get(), static_cast<int>(join.kind));
    return true;
  });
  return opened;
}

// The stage in a user namespace cannot reach its own file for it.
void set_oom_score(pid_t pid, const oci::Process& process) {
  if (!process.oom_score_adj) return;
  try {
    write_existing("/proc/" + std::to_string(pid) + "/oom_score_adj", std::to_string(*process.oom_score_adj));
  } catch (const Error& error) {
    log::warning("oomScoreAdj is not applied", {{"error", error.message()}});
  }
}

}  // namespace

std::string_view state_name(State state) {
  switch (state) {
    case State::kCreated:
      return "created";
    case State::kRunning:
      return "running";
    case State::kPaused:
      return "paused";
    case State::kStopped:
      return "stopped";
  }
  return "unknown";
}

Container::Container(LaunchSpec launch) : launch_(std::move(launch)) {}
Container::~Container() = default;

State Container::state() const {
  if (!init_ || init_->exit_code()) return State::kStopped;
  if (paused_) return State::kPaused;
  return started_ ? State::kRunning : State::kCreated;
}

Awaitable<std::shared_ptr<Container>> Container::create(const cgroup::Hierarchy& hierarchy, LaunchSpec spec) {
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<Container> container(new Container(std::move(spec)));
  std::exception_ptr failure;
  try {
    co_await container->build(executor, hierarchy);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    container->launch_.spec.hooks.poststop.clear();
    co_await container->destroy();
    std::rethrow_exception(failure);
  }
  co_return container;
}

Awaitable<> Container::build(asio::any_io_executor executor, const cgroup::Hierarchy& hierarchy) {
  static const oci::Linux kNothing;
  const oci::Linux& config = launch_.spec.linux_config ? *launch_.spec.linux_config : kNothing;
  // Once without the folders: nothing is made for a spec that cannot work.
  plan_container(launch_, {});
  cgroup_ = cgroup::Cgroup::create(executor, hierarchy, cgroup::path_of(config.cgroups_path, launch_.id));
  if (config.resources) cgroup_->apply(*config.resources);
  PlannedContainer planned = plan_container(launch_, cgroup_->folders());
  SpawnRequest spawn;
  spawn.namespaces = planned.clone_flags;
  spawn.cgroup_fd = cgroup_->directory();
  spawn.cgroup_entry_files = cgroup_->entry_files();
  const auto opened = open_namespaces(planned, spawn);
  const auto trees = make_id_mapped_trees(launch_.spec, *planned.plan.container, spawn.descriptors);
  const uint32_t owner = owner_of_streams(*launch_.spec.process);
  stage_ =
      StageClient::start(executor, Role::kInit, planned.plan, std::move(spawn), launch_.pipe_size, owner);
  init_ = stage_->process();
  StageClient::Answers answers;
  answers.map_user = [this, &config](pid_t pid) {
    map_user_namespace(pid, config.uid_mappings, config.gid_mappings);
    set_oom_score(pid, *launch_.spec.process);
  };
  answers.run_hooks = [this](pid_t pid) -> Awaitable<> { return run_create_hooks(pid); };
  co_await with_deadline(stage_->until_ready(std::move(answers)), kSetupLimit, "setting up the container");
}

uint32_t Container::owner_of_streams(const oci::Process& process) const {
  if (!launch_.spec.linux_config) return process.user.uid;
  const oci::Linux& config = *launch_.spec.linux_config;
  const bool mapped = std::any_of(config.namespaces.begin(), config.namespaces.end(),
                                  [](const oci::Namespace& entry) { return entry.type == "user"; });
  return mapped ? outer_id(process.user.uid, config.uid_mappings) : process.user.uid;
}

Awaitable<> Container::run_create_hooks(pid_t pid) {
  const std::string state = hook_state(launch_, "creating", pid);
  co_await run_agent_hooks(launch_.spec.hooks.prestart, "prestart", state);
  co_await run_agent_hooks(launch_.spec.hooks.create_runtime, "createRuntime", state);
}

Awaitable<> Container::start() {
  const auto self = shared_from_this();
  if (state() != State::kCreated) {
    throw Error(Code::kFailedPrecondition, "starting container " + id() + ": it is " +
                                               std::string(state_name(state())) + ", not created");
  }
  std::exception_ptr failure;
  try {
    co_await with_deadline(stage_->until_running(StageClient::Begin::kStart), kSetupLimit,
                           "starting the program");
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) throw to_error(failure).within("starting container " + id());
  stage_.reset();
  started_ = true;
  try {
    co_await run_agent_hooks(launch_.spec.hooks.poststart, "poststart",
                             hook_state(launch_, "running", init_->pid()));
  } catch (const Error& error) {
    log::warning("poststart hook failed", {{"container", id()}, {"error", error.message()}});
  }
}

Awaitable<std::shared_ptr<Process>> Container::exec(oci::Process process) {
  const auto self = shared_from_this();
  const auto executor = co_await asio::this_coro::executor;
  if (state() != State::kRunning && state() != State::kCreated) {
    throw Error(Code::kFailedPrecondition,
                "running a process in container " + id() + ": it is " + std::string(state_name(state())));
  }
  const InitPlan plan = plan_exec(launch_.spec, process);
  const UniqueFd init = open_pidfd(init_->pid());
  SpawnRequest spawn;
  spawn.cgroup_fd = cgroup_->directory();
  spawn.cgroup_entry_files = cgroup_->entry_files();
  spawn.pid_namespace_fd = init.get();
  spawn.descriptors = {init.get()};
  const uint32_t owner = owner_of_streams(process);
  const auto stage =
      StageClient::start(executor, Role::kExec, plan, std::move(spawn), launch_.pipe_size, owner);
  std::exception_ptr failure;
  try {
    co_await with_deadline(stage->until_running(StageClient::Begin::kAlreadyStarted), kSetupLimit,
                           "starting the program");
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    stage->process()->signal(SIGKILL);
    throw to_error(failure).within("running a process in container " + id());
  }
  co_return stage->process();
}

Awaitable<> Container::signal_all(int number) {
  const auto self = shared_from_this();
  if (cgroup_) co_await cgroup_->signal_all(number);
}

Awaitable<> Container::pause() {
  const auto self = shared_from_this();
  if (state() != State::kRunning && state() != State::kCreated)
    throw Error(Code::kFailedPrecondition,
                "pausing container " + id() + ": it is " + std::string(state_name(state())));
  co_await cgroup_->freeze();
  paused_ = true;
}

Awaitable<> Container::resume() {
  const auto self = shared_from_this();
  if (state() != State::kPaused)
    throw Error(Code::kFailedPrecondition,
                "resuming container " + id() + ": it is " + std::string(state_name(state())));
  co_await cgroup_->thaw();
  paused_ = false;
}

void Container::update(const oci::Resources& resources) {
  with_context("updating container " + id(), [&] { cgroup_->apply(resources); });
}

cgroup::Stats Container::stats() const {
  return cgroup_->stats();
}
std::vector<pid_t> Container::processes() const {
  return cgroup_->processes();
}
Awaitable<> Container::wait_oom() {
  return cgroup_->wait_oom();
}

bool Container::take_oom_kill() {
  return cgroup_->take_oom_kill();
}

Awaitable<> Container::destroy() {
  const auto self = shared_from_this();
  if (destroyed_) co_return;
  destroyed_ = true;
  Teardown teardown("container " + id(), [](std::string_view warning) { log::warning(warning); });
  // Awaiting in a handler is not possible: each step keeps its failure.
  const auto attempt = [&teardown](const char* step, Awaitable<> body) -> Awaitable<> {
    try {
      co_await std::move(body);
    } catch (...) {
      teardown.failed(step, to_error(std::current_exception()).message());
    }
  };
  stage_.reset();
  if (cgroup_) co_await attempt("killing its processes", kill_all());
  if (init_) {
    init_->close_streams();
    co_await attempt("running poststop hooks", run_agent_hooks(launch_.spec.hooks.poststop, "poststop",
                                                               hook_state(launch_, "stopped", init_->pid())));
  }
  if (cgroup_) co_await attempt("removing its cgroup", cgroup_->remove());
}

Awaitable<> Container::kill_all() {
  if (init_ && !init_->exit_code()) init_->signal(SIGKILL);
  if (!cgroup_->processes().empty()) co_await cgroup_->signal_all(SIGKILL);
  if (!init_) co_return;
  auto wait = [](std::shared_ptr<Process> init) -> Awaitable<> { co_await init->wait(); };
  co_await with_deadline(wait(init_), kKillLimit, "waiting for the end of the first process");
}

}  // namespace kata::container
