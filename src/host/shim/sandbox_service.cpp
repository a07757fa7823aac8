#include "host/shim/sandbox_service.h"

#include <exception>
#include <sys/utsname.h>
#include <utility>

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "host/shim/convert.h"
#include "host/shim/detached_call.h"
#include "host/shim/overhead.h"
#include "host/shim/pod_files.h"
#include "host/shim/pod_spec.h"
#include "host/shim/stats.h"
#include "lib/log/log.h"

namespace kata::shim {
namespace {

namespace proto = containerd::runtime::sandbox::v1;

constexpr const char* kService = "containerd.runtime.sandbox.v1.Sandbox";
constexpr const char* kReady = "SANDBOX_READY";
constexpr const char* kNotReady = "SANDBOX_NOTREADY";

// Go's name of the machine's architecture.
std::string architecture() {
  utsname name{};
  if (::uname(&name) != 0) return "amd64";
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  return machine == "aarch64" ? "arm64" : machine;
}

}  // namespace

SandboxService::SandboxService(std::shared_ptr<TaskService> tasks) : tasks_(std::move(tasks)) {}

template <typename Request, typename Response>
Awaitable<std::string> SandboxService::serve(std::shared_ptr<SandboxService> self, std::string method,
                                             Awaitable<Response> (SandboxService::*call)(Request),
                                             std::string payload) {
  Request request;
  if (!request.ParseFromString(payload))
    throw Error(Code::kInvalidArgument, "request of " + method + " does not parse");
  const std::string id = request.sandbox_id();
  std::exception_ptr failed;
  try {
    if (id != self->tasks_->sandbox_id()) {
      throw Error(Code::kNotFound, "sandbox " + id.substr(0, 100) + " is not this shim's, which is " +
                                       self->tasks_->sandbox_id());
    }
    const Response response = co_await ((*self).*call)(std::move(request));
    co_return response.SerializeAsString();
  } catch (...) {
    failed = std::current_exception();
  }
  const Error error = to_error(failed);
  log::warning("call failed",
               {{"call", method}, {"id", id}, {"code", code_name(error.code())}, {"error", error.message()}});
  throw error;
}

template <typename Request, typename Response>
void SandboxService::add(ttrpc::Server& server, const std::string& method, Duration limit,
                         Awaitable<Response> (SandboxService::*call)(Request)) {
  server.add(kService, method,
             [self = shared_from_this(), method, limit, call](std::string payload, ttrpc::RequestInfo) {
               return run_to_the_end(serve(self, method, call, std::move(payload)), limit, method);
             });
}

void SandboxService::add_to(ttrpc::Server& server) {
  add(server, "CreateSandbox", kAnswerLimit, &SandboxService::create);
  add(server, "StartSandbox", kNoLimit, &SandboxService::start);
  add(server, "Platform", kAnswerLimit, &SandboxService::platform);
  // Stopping has limits of its own for each step; together they may be more than one answer's.
  add(server, "StopSandbox", kNoLimit, &SandboxService::stop);
  add(server, "SandboxStatus", kAnswerLimit, &SandboxService::status);
  add(server, "PingSandbox", kAnswerLimit, &SandboxService::ping);
  add(server, "ShutdownSandbox", kNoLimit, &SandboxService::shutdown);
  add(server, "SandboxMetrics", kAnswerLimit, &SandboxService::metrics);
  // Lasts as long as the pod; ends with its caller.
  server.add(kService, "WaitSandbox", [self = shared_from_this()](std::string payload, ttrpc::RequestInfo) {
    return serve(self, "WaitSandbox", &SandboxService::wait, std::move(payload));
  });
}

std::shared_ptr<sandbox::Sandbox> SandboxService::started(const std::string& id) const {
  const auto& sandbox = tasks_->pod().sandbox();
  if (!sandbox || !created_at_) throw Error(Code::kNotFound, "sandbox " + id + " was not started");
  return sandbox;
}

Awaitable<> SandboxService::remember_end(std::shared_ptr<sandbox::Sandbox> sandbox) {
  const auto self = shared_from_this();
  end_ = co_await sandbox->wait_end();
}

Awaitable<proto::CreateSandboxResponse> SandboxService::create(proto::CreateSandboxRequest request) {
  if (spec_) throw Error(Code::kAlreadyExists, "sandbox " + request.sandbox_id() + " exists already");
  const std::string& bundle = request.bundle_path();
  if (!bundle.starts_with('/'))
    throw Error(Code::kInvalidArgument, "bundle '" + bundle.substr(0, 200) + "' is not an absolute path");
  const runtime::v1::PodSandboxConfig config = pod_config(request);
  write_pod_files(bundle, config);
  tasks_->set_pod_files(bundle);
  spec_ = pod_spec(request, config);
  co_return proto::CreateSandboxResponse();
}

Awaitable<proto::StartSandboxResponse> SandboxService::start(proto::StartSandboxRequest request) {
  if (!spec_) throw Error(Code::kNotFound, "sandbox " + request.sandbox_id() + " was not created");
  if (std::exchange(starting_, true))
    throw Error(Code::kFailedPrecondition, "sandbox " + request.sandbox_id() + " was started before");
  // The runtime's options came with the start of this process.
  config::LoadRequest where = tasks_->load_request({}, *spec_);
  proto::StartSandboxResponse response;
  std::exception_ptr failed;
  try {
    response.set_pid(co_await tasks_->pod().boot(*spec_, std::move(where)));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) {
    starting_ = false;
    std::rethrow_exception(failed);
  }
  created_at_ = std::chrono::system_clock::now();
  const auto executor = co_await asio::this_coro::executor;
  asio::co_spawn(executor, remember_end(tasks_->pod().sandbox()), asio::detached);
  set_timestamp(*response.mutable_created_at(), *created_at_);
  co_return response;
}

Awaitable<proto::PlatformResponse> SandboxService::platform(proto::PlatformRequest) {
  proto::PlatformResponse response;
  response.mutable_platform()->set_os("linux");
  response.mutable_platform()->set_architecture(architecture());
  co_return response;
}

Awaitable<proto::StopSandboxResponse> SandboxService::stop(proto::StopSandboxRequest) {
  co_await tasks_->pod().end();
  co_return proto::StopSandboxResponse();
}

Awaitable<proto::WaitSandboxResponse> SandboxService::wait(proto::WaitSandboxRequest request) {
  const auto sandbox = started(request.sandbox_id());
  const sandbox::ExitInfo exit = co_await sandbox->wait_end();
  proto::WaitSandboxResponse response;
  response.set_exit_status(exit.status);
  set_timestamp(*response.mutable_exited_at(), exit.at);
  co_return response;
}

Awaitable<proto::SandboxStatusResponse> SandboxService::status(proto::SandboxStatusRequest request) {
  proto::SandboxStatusResponse response;
  response.set_sandbox_id(request.sandbox_id());
  response.set_state(created_at_ && !end_ ? kReady : kNotReady);
  if (created_at_) set_timestamp(*response.mutable_created_at(), *created_at_);
  if (end_) set_timestamp(*response.mutable_exited_at(), end_->at);
  const auto& sandbox = tasks_->pod().sandbox();
  if (sandbox) response.set_pid(sandbox->pid());
  if (request.verbose() && sandbox) {
    auto& info = *response.mutable_info();
    info["agentUrl"] = sandbox->agent_url();
    info["shimPid"] = std::to_string(::getpid());
    info["version"] = KATA_VERSION;
  }
  co_return response;
}

Awaitable<proto::PingResponse> SandboxService::ping(proto::PingRequest request) {
  (void)started(request.sandbox_id());
  if (end_) throw Error(Code::kUnavailable, "sandbox " + request.sandbox_id() + " has ended");
  co_return proto::PingResponse();
}

Awaitable<proto::ShutdownSandboxResponse> SandboxService::shutdown(proto::ShutdownSandboxRequest) {
  co_await tasks_->end_process();
  co_return proto::ShutdownSandboxResponse();
}

Awaitable<proto::SandboxMetricsResponse> SandboxService::metrics(proto::SandboxMetricsRequest request) {
  (void)started(request.sandbox_id());
  proto::SandboxMetricsResponse response;
  containerd::types::Metric& metric = *response.mutable_metrics();
  metric.set_id(request.sandbox_id());
  set_timestamp(*metric.mutable_timestamp(), std::chrono::system_clock::now());
  *metric.mutable_data() = to_metrics(host_cgroup_version(), pod_usage(::getpid()), 0);
  co_return response;
}

}  // namespace kata::shim
