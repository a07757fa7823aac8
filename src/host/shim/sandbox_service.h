// containerd's Sandbox API, for `sandboxer = "shim"`: facts containerd-shim-api, section 10. The pod's VM
// runs without a pause container, from StartSandbox to StopSandbox, whatever its containers do.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "host/shim/task_service.h"
#include "lib/async/awaitable.h"
#include "lib/ttrpc/server.h"

#include "containerd/sandbox.pb.h"

namespace kata::shim {

class SandboxService : public std::enable_shared_from_this<SandboxService> {
 public:
  // `tasks` holds the pod that both services speak of.
  explicit SandboxService(std::shared_ptr<TaskService> tasks);

  // Registers all methods; the server keeps the service alive.
  void add_to(ttrpc::Server& server);

 private:
  Awaitable<containerd::runtime::sandbox::v1::CreateSandboxResponse> create(
      containerd::runtime::sandbox::v1::CreateSandboxRequest request);
  Awaitable<containerd::runtime::sandbox::v1::StartSandboxResponse> start(
      containerd::runtime::sandbox::v1::StartSandboxRequest request);
  Awaitable<containerd::runtime::sandbox::v1::PlatformResponse> platform(
      containerd::runtime::sandbox::v1::PlatformRequest request);
  Awaitable<containerd::runtime::sandbox::v1::StopSandboxResponse> stop(
      containerd::runtime::sandbox::v1::StopSandboxRequest request);
  Awaitable<containerd::runtime::sandbox::v1::WaitSandboxResponse> wait(
      containerd::runtime::sandbox::v1::WaitSandboxRequest request);
  Awaitable<containerd::runtime::sandbox::v1::SandboxStatusResponse> status(
      containerd::runtime::sandbox::v1::SandboxStatusRequest request);
  Awaitable<containerd::runtime::sandbox::v1::PingResponse> ping(
      containerd::runtime::sandbox::v1::PingRequest request);
  Awaitable<containerd::runtime::sandbox::v1::ShutdownSandboxResponse> shutdown(
      containerd::runtime::sandbox::v1::ShutdownSandboxRequest request);
  Awaitable<containerd::runtime::sandbox::v1::SandboxMetricsResponse> metrics(
      containerd::runtime::sandbox::v1::SandboxMetricsRequest request);

  template <typename Request, typename Response>
  void add(ttrpc::Server& server, const std::string& method, Duration limit,
           Awaitable<Response> (SandboxService::*call)(Request));
  template <typename Request, typename Response>
  static Awaitable<std::string> serve(std::shared_ptr<SandboxService> self, std::string method,
                                      Awaitable<Response> (SandboxService::*call)(Request),
                                      std::string payload);
  // kNotFound unless that is this shim's sandbox and it was started.
  std::shared_ptr<sandbox::Sandbox> started(const std::string& id) const;
  Awaitable<> remember_end(std::shared_ptr<sandbox::Sandbox> sandbox);

  std::shared_ptr<TaskService> tasks_;
  // What CreateSandbox said, until StartSandbox and after it.
  std::optional<oci::Spec> spec_;
  bool starting_ = false;
  std::optional<std::chrono::system_clock::time_point> created_at_;
  std::optional<sandbox::ExitInfo> end_;
};

}  // namespace kata::shim
