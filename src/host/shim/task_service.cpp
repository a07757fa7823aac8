#include "host/shim/task_service.h"

#include <csignal>
#include <exception>
#include <utility>

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>

#include "host/shim/convert.h"
#include "host/shim/detached_call.h"
#include "host/shim/flags.h"
#include "host/shim/pod_files.h"
#include "host/shim/process.h"
#include "lib/log/log.h"
#include "lib/oci/json.h"

#include "containerd/runtimeoptions.pb.h"

namespace kata::shim {
namespace {

namespace proto = containerd::task::v3;

constexpr std::string_view kServices[] = {"containerd.task.v2.Task", "containerd.task.v3.Task"};

// From the start of a process to the calls that follow it having passed.
constexpr Duration kSettleTime = std::chrono::milliseconds(500);

void check_id(const std::string& id, std::string_view what) {
  if (valid_id(id)) return;
  throw Error(Code::kInvalidArgument,
              std::string(what) + " '" + id.substr(0, 100) +
                  "' is not valid: letters and digits, joined by one of . _ -, at most 76");
}

void check_bundle(const std::string& bundle) {
  if (bundle.starts_with('/') && bundle.find('\0') == std::string::npos) return;
  throw Error(Code::kInvalidArgument, "bundle '" + bundle.substr(0, 200) + "' is not an absolute path");
}

// How a failed call shows in the log: what a caller may well ask in vain is no news.
log::Level level_of(Code code) {
  return code == Code::kNotFound || code == Code::kCancelled || code == Code::kUnimplemented
             ? log::Level::kDebug
             : log::Level::kWarning;
}

}  // namespace

TaskService::TaskService(Parts parts)
    : parts_(std::move(parts)),
      pod_({.executor = parts_.executor,
            .id = parts_.sandbox_id,
            .containerd_namespace = parts_.containerd_namespace,
            .make_sandbox = parts_.make_sandbox,
            .load_config = parts_.load_config,
            .events = parts_.events,
            .monitor_socket = parts_.monitor_socket,
            .own_metrics =
                [latencies = latencies_] {
                  return latencies->prometheus("kata_shim_rpc_durations_histogram_milliseconds",
                                               "How long the calls of the task service took.");
                }}),
      settled_(parts_.executor),
      idle_(parts_.executor) {}

template <typename Request, typename Response>
Awaitable<std::string> TaskService::serve(std::shared_ptr<TaskService> self, std::string method,
                                          Awaitable<Response> (TaskService::*call)(Request),
                                          std::string payload) {
  Request request;
  if (!request.ParseFromString(payload))
    throw Error(Code::kInvalidArgument, "request of " + method + " does not parse");
  std::string().swap(payload);
  const std::string id = request.id();
  // Noted at the end, however it comes.
  struct Clock {
    Latencies& latencies;
    std::string label;
    TimePoint begin = std::chrono::steady_clock::now();
    ~Clock() { latencies.add(label, std::chrono::steady_clock::now() - begin); }
  } const clock{.latencies = *self->latencies_, .label = snake_case(method)};
  try {
    const Response response = co_await ((*self).*call)(std::move(request));
    co_return response.SerializeAsString();
  } catch (...) {
    const Error error = to_error(std::current_exception());
    log::write(level_of(error.code()), "call failed",
               {{"call", method}, {"id", id}, {"code", code_name(error.code())}, {"error", error.message()}});
    throw error;
  }
}

template <typename Request, typename Response>
void TaskService::add(ttrpc::Server& server, const std::string& method, Duration limit,
                      Awaitable<Response> (TaskService::*call)(Request)) {
  const ttrpc::Handler handler = [self = shared_from_this(), method, limit, call](std::string payload,
                                                                                  ttrpc::RequestInfo) {
    return run_to_the_end(serve(self, method, call, std::move(payload)), limit, method);
  };
  for (const std::string_view service : kServices) server.add(std::string(service), method, handler);
}

void TaskService::add_to(ttrpc::Server& server) {
  watch_idleness(parts_.unused_limit);
  const Duration limit = parts_.answer_limit;
  add(server, "Create", kNoLimit, &TaskService::create);
  add(server, "Start", kNoLimit, &TaskService::start);
  add(server, "State", limit, &TaskService::state);
  add(server, "Delete", limit, &TaskService::remove);
  add(server, "Pids", limit, &TaskService::pids);
  add(server, "Pause", limit, &TaskService::pause);
  add(server, "Resume", limit, &TaskService::resume);
  add(server, "Checkpoint", limit, &TaskService::checkpoint);
  add(server, "Kill", limit, &TaskService::kill);
  add(server, "Exec", limit, &TaskService::exec);
  add(server, "ResizePty", limit, &TaskService::resize_pty);
  add(server, "CloseIO", limit, &TaskService::close_io);
  add(server, "Update", limit, &TaskService::update);
  add(server, "Stats", limit, &TaskService::stats);
  add(server, "Connect", limit, &TaskService::connect);
  add(server, "Shutdown", limit, &TaskService::shutdown);
  // The only call that may last as long as the container; it ends with its caller.
  const ttrpc::Handler wait = [self = shared_from_this()](std::string payload, ttrpc::RequestInfo) {
    return serve(self, "Wait", &TaskService::wait, std::move(payload));
  };
  for (const std::string_view service : kServices) server.add(std::string(service), "Wait", wait);
}

config::LoadRequest TaskService::load_request(const google::protobuf::Any& options,
                                              const oci::Spec& spec) const {
  google::protobuf::Any any = options;
  if (any.type_url().empty() && !any.ParseFromString(parts_.options)) any.Clear();
  config::LoadRequest where;
  where.conf_file_variable = config::conf_file_variable();
  where.annotations = spec.annotations;
  // Options of other runtimes (runc's come by default) say nothing to this one.
  if (bare_type(any.type_url()) != "runtimeoptions.v1.Options") return where;
  runtimeoptions::v1::Options parsed;
  if (!parsed.ParseFromString(any.value()))
    throw Error(Code::kInvalidArgument, "the runtime options (runtimeoptions.v1.Options) do not parse");
  where.config_path = parsed.config_path();
  where.config_body = parsed.config_body();
  return where;
}

Awaitable<proto::CreateTaskResponse> TaskService::create(proto::CreateTaskRequest request) {
  check_id(request.id(), "container id");
  check_bundle(request.bundle());
  if (!request.checkpoint().empty())
    throw Error(Code::kUnimplemented, "container " + request.id() +
                                          " cannot be restored from a checkpoint: a VM's "
                                          "processes cannot be checkpointed from outside");
  sandbox::ContainerRequest container;
  container.id = request.id();
  container.bundle = request.bundle();
  container.spec = oci::load_spec(request.bundle());
  if (pod_.held() && !pod_files_.empty()) add_pod_files(container.spec, pod_files_);
  container.rootfs = to_mounts(request);
  container.stdio = to_stdio(request);
  if (container.spec.process) container.spec.process->terminal = request.terminal();

  config::LoadRequest where = load_request(request.options(), container.spec);
  uint32_t pid = 0;
  std::exception_ptr failed;
  try {
    pid = co_await pod_.create_container(std::move(container), std::move(where));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) {
    watch_idleness(parts_.idle_limit);
    std::rethrow_exception(failed);
  }
  idle_.cancel();
  created_ = true;
  parts_.events->created(request, pid);
  proto::CreateTaskResponse response;
  response.set_pid(pid);
  co_return response;
}

Awaitable<proto::StartResponse> TaskService::start(proto::StartRequest request) {
  const auto sandbox = pod_.sandbox_of(request.id());
  // Refuses an unknown process before anything is noted about it.
  (void)sandbox->status(request.id(), request.exec_id());
  parts_.events->starting(request.id(), request.exec_id());
  proto::StartResponse response;
  std::exception_ptr failed;
  try {
    response.set_pid(co_await sandbox->start(request.id(), request.exec_id()));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) {
    parts_.events->start_failed(request.id(), request.exec_id());
    std::rethrow_exception(failed);
  }
  parts_.events->started(request.id(), request.exec_id(), response.pid());
  settled_.expires_after(kSettleTime);
  settled_.async_wait([](const boost::system::error_code& cancelled) {
    if (!cancelled) trim_memory();
  });
  co_return response;
}

Awaitable<proto::StateResponse> TaskService::state(proto::StateRequest request) {
  if (is_pod(request.id())) {
    proto::StateResponse response;
    response.set_id(request.id());
    response.set_pid(pod_.sandbox()->pid());
    response.set_status(containerd::v1::types::RUNNING);
    co_return response;
  }
  co_return to_state(pod_.sandbox_of(request.id())->status(request.id(), request.exec_id()));
}

Awaitable<proto::DeleteResponse> TaskService::remove(proto::DeleteRequest request) {
  const auto sandbox = pod_.sandbox_of(request.id());
  const uint32_t pid = sandbox->status(request.id(), request.exec_id()).pid;
  const sandbox::ExitInfo exit = co_await sandbox->remove(request.id(), request.exec_id());
  proto::DeleteResponse response;
  response.set_pid(pid);
  response.set_exit_status(exit.status);
  set_timestamp(*response.mutable_exited_at(), exit.at);
  if (request.exec_id().empty()) {
    // With its last container the pod is over: what is answered here is all that CRI-O waits for.
    if (pod_.sandbox() == sandbox && pod_.empty()) co_await pod_.stop();
    parts_.events->deleted(request.id(), pid, exit);
    watch_idleness(parts_.idle_limit);
  }
  co_return response;
}

Awaitable<proto::PidsResponse> TaskService::pids(proto::PidsRequest request) {
  const auto sandbox = pod_.sandbox_of(request.id());
  proto::PidsResponse response;
  if (!is_pod(request.id())) {
    for (const uint32_t pid : co_await sandbox->pids(request.id())) response.add_processes()->set_pid(pid);
  }
  // An empty list makes containerd take the task for dead.
  if (response.processes().empty()) response.add_processes()->set_pid(sandbox->pid());
  co_return response;
}

Awaitable<TaskService::Empty> TaskService::pause(proto::PauseRequest request) {
  co_await pod_.sandbox_of(request.id())->pause(request.id());
  parts_.events->paused(request.id());
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::resume(proto::ResumeRequest request) {
  co_await pod_.sandbox_of(request.id())->resume(request.id());
  parts_.events->resumed(request.id());
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::checkpoint(proto::CheckpointTaskRequest request) {
  throw Error(Code::kUnimplemented, "container " + request.id() +
                                        " cannot be checkpointed: its processes live in a "
                                        "VM, out of reach of the host's CRIU");
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::kill(proto::KillRequest request) {
  const bool ending = request.signal() == SIGKILL || request.signal() == SIGTERM;
  try {
    const auto scope =
        request.all() ? sandbox::Sandbox::KillScope::kAll : sandbox::Sandbox::KillScope::kProcess;
    co_await pod_.sandbox_of(request.id())->kill(request.id(), request.exec_id(), request.signal(), scope);
  } catch (const Error& error) {
    // CRI-O takes any error of a stop for a failed stop; containerd wants to hear that the process is gone.
    if (error.code() != Code::kNotFound || parts_.manager != Manager::kCrio || !ending) throw;
    log::debug("nothing left to kill", {{"container", request.id()}, {"reason", error.message()}});
  }
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::exec(proto::ExecProcessRequest request) {
  check_id(request.exec_id(), "exec id");
  const auto sandbox = pod_.sandbox_of(request.id());
  sandbox::ExecRequest exec;
  exec.container_id = request.id();
  exec.exec_id = request.exec_id();
  exec.stdio = to_stdio(request);
  exec.process = to_process(request.spec());
  exec.json = request.spec().value();
  exec.process.terminal = request.terminal();
  sandbox->add_exec(std::move(exec));
  parts_.events->exec_added(request.id(), request.exec_id());
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::resize_pty(proto::ResizePtyRequest request) {
  co_await pod_.sandbox_of(request.id())
      ->resize(request.id(), request.exec_id(), request.width(), request.height());
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::close_io(proto::CloseIORequest request) {
  const auto sandbox = pod_.sandbox_of(request.id());
  if (request.stdin()) co_await sandbox->close_stdin(request.id(), request.exec_id());
  co_return Empty();
}

Awaitable<TaskService::Empty> TaskService::update(proto::UpdateTaskRequest request) {
  const auto sandbox = pod_.sandbox_of(request.id());
  oci::Resources resources = to_resources(request.resources());
  co_await sandbox->update(request.id(), std::move(resources));
  co_return Empty();
}

Awaitable<proto::WaitResponse> TaskService::wait(proto::WaitRequest request) {
  const sandbox::ExitInfo exit =
      co_await pod_.sandbox_of(request.id())->wait(request.id(), request.exec_id());
  proto::WaitResponse response;
  response.set_exit_status(exit.status);
  set_timestamp(*response.mutable_exited_at(), exit.at);
  co_return response;
}

Awaitable<proto::StatsResponse> TaskService::stats(proto::StatsRequest request) {
  const sandbox::ContainerStats stats = co_await pod_.sandbox_of(request.id())->stats(request.id());
  proto::StatsResponse response;
  *response.mutable_stats() = to_metrics(parts_.cgroups, stats, parts_.events->oom_kills(request.id()));
  co_return response;
}

// containerd asks with any id when it starts again: the answer tells that the shim lives.
Awaitable<proto::ConnectResponse> TaskService::connect(proto::ConnectRequest) {
  proto::ConnectResponse response;
  response.set_shim_pid(static_cast<uint32_t>(::getpid()));
  if (pod_.sandbox()) response.set_task_pid(pod_.sandbox()->pid());
  response.set_version(KATA_VERSION);
  co_return response;
}

Awaitable<TaskService::Empty> TaskService::shutdown(proto::ShutdownRequest request) {
  co_await pod_.creates_done();
  if (!pod_.empty() && !request.now()) {
    log::debug("Shutdown is not for this shim yet: containers are left", {{"id", request.id()}});
    co_return Empty();
  }
  if (!created_)
    log::warning("Shutdown before any container was created: the shim ends", {{"id", request.id()}});
  co_await end_process();
  co_return Empty();
}

void TaskService::watch_idleness(Duration limit) {
  if (!pod_.idle()) return;
  idle_.expires_after(limit);
  idle_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    if (cancelled || !self->pod_.idle()) return;
    log::info("the shim ends: it has no containers and nobody has told it to shut down");
    asio::co_spawn(self->parts_.executor, self->end_process(), [self](const std::exception_ptr&) {});
  });
}

Awaitable<> TaskService::end_process() {
  idle_.cancel();
  settled_.cancel();
  co_await pod_.stop();
  parts_.shut_down();
}

}  // namespace kata::shim
