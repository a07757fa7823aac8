// containerd's task service, versions 2 and 3 (the same messages): facts containerd-shim-api, sections 8, 11.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "host/shim/pod.h"
#include "host/shim/stats.h"
#include "host/shim/task_events.h"
#include "lib/async/awaitable.h"
#include "lib/text/latencies.h"
#include "lib/ttrpc/server.h"

#include "containerd/task.pb.h"
#include "google/protobuf/empty.pb.h"

namespace kata::shim {

// Every answer but those of Create, Start and Wait comes within this time: containerd's callers clean up by
// force otherwise.
inline constexpr Duration kAnswerLimit = std::chrono::seconds(10);

// How long a shim without containers waits for its Shutdown. Whoever asked for the last Delete, or for the
// Create that failed, may be gone; its manager learns from the end of the process that it can forget the
// container.
inline constexpr Duration kIdleLimit = std::chrono::seconds(3);
// The same for one that nobody has asked for anything yet: whoever started it may have ended before it could
// use it.
inline constexpr Duration kUnusedLimit = std::chrono::seconds(60);

// Every method is one call; errors carry the codes that containerd decides by. Calls that change something
// run to their end even when the caller goes away in the middle.
class TaskService : public std::enable_shared_from_this<TaskService> {
 public:
  struct Parts {
    asio::any_io_executor executor;
    std::string sandbox_id;
    std::string containerd_namespace;
    Manager manager = Manager::kContainerd;
    // Serialised Any of the runtime options that came with `start`; used when the create request has none.
    std::string options;
    SandboxFactory make_sandbox;
    ConfigLoader load_config;
    std::shared_ptr<TaskEvents> events;
    CgroupVersion cgroups = CgroupVersion::kV1;
    Duration answer_limit = kAnswerLimit;
    Duration idle_limit = kIdleLimit;
    Duration unused_limit = kUnusedLimit;
    // Path of the management socket; empty = none.
    std::string monitor_socket;
    // Asks the process to end; called once the sandbox is gone, before the answer to Shutdown is sent.
    std::function<void()> shut_down;
  };

  explicit TaskService(Parts parts);

  // Registers all methods under both names; the server keeps the service alive.
  void add_to(ttrpc::Server& server);

  // For the Sandbox API, which speaks of the same pod.
  [[nodiscard]] const std::string& sandbox_id() const { return parts_.sandbox_id; }
  [[nodiscard]] Pod& pod() { return pod_; }
  [[nodiscard]] config::LoadRequest load_request(const google::protobuf::Any& options,
                                                 const oci::Spec& spec) const;
  // The folder whose files each container of a pod gets (see pod_files.h).
  void set_pod_files(std::string folder) { pod_files_ = std::move(folder); }
  // Stops the pod, then asks the process to end.
  Awaitable<> end_process();

 private:
  using Empty = google::protobuf::Empty;

  Awaitable<containerd::task::v3::CreateTaskResponse> create(containerd::task::v3::CreateTaskRequest request);
  Awaitable<containerd::task::v3::StartResponse> start(containerd::task::v3::StartRequest request);
  Awaitable<containerd::task::v3::StateResponse> state(containerd::task::v3::StateRequest request);
  Awaitable<containerd::task::v3::DeleteResponse> remove(containerd::task::v3::DeleteRequest request);
  Awaitable<containerd::task::v3::PidsResponse> pids(containerd::task::v3::PidsRequest request);
  Awaitable<Empty> pause(containerd::task::v3::PauseRequest request);
  Awaitable<Empty> resume(containerd::task::v3::ResumeRequest request);
  Awaitable<Empty> checkpoint(containerd::task::v3::CheckpointTaskRequest request);
  Awaitable<Empty> kill(containerd::task::v3::KillRequest request);
  Awaitable<Empty> exec(containerd::task::v3::ExecProcessRequest request);
  Awaitable<Empty> resize_pty(containerd::task::v3::ResizePtyRequest request);
  Awaitable<Empty> close_io(containerd::task::v3::CloseIORequest request);
  Awaitable<Empty> update(containerd::task::v3::UpdateTaskRequest request);
  Awaitable<containerd::task::v3::WaitResponse> wait(containerd::task::v3::WaitRequest request);
  Awaitable<containerd::task::v3::StatsResponse> stats(containerd::task::v3::StatsRequest request);
  Awaitable<containerd::task::v3::ConnectResponse> connect(containerd::task::v3::ConnectRequest request);
  Awaitable<Empty> shutdown(containerd::task::v3::ShutdownRequest request);

  // `limit`: how long the caller waits for the answer; the call itself goes on. Zero = no limit.
  template <typename Request, typename Response>
  void add(ttrpc::Server& server, const std::string& method, Duration limit,
           Awaitable<Response> (TaskService::*call)(Request));
  template <typename Request, typename Response>
  static Awaitable<std::string> serve(std::shared_ptr<TaskService> self, std::string method,
                                      Awaitable<Response> (TaskService::*call)(Request), std::string payload);
  // Ends the process when it has had no container for the limit and nobody has said Shutdown.
  void watch_idleness(Duration limit);
  // A pod without a container of its own, by its id: containerd asks for it as for a task.
  [[nodiscard]] bool is_pod(const std::string& id) const { return pod_.held() && id == parts_.sandbox_id; }

  Parts parts_;
  std::shared_ptr<Latencies> latencies_ = std::make_shared<Latencies>();
  Pod pod_;
  // Empty unless the Sandbox API made the pod.
  std::string pod_files_;
  // Runs out some time after the last start of a process.
  asio::steady_timer settled_;
  // Runs out when nothing was left to serve for a while.
  asio::steady_timer idle_;
  // Whether there ever was a container.
  bool created_ = false;
};

}  // namespace kata::shim
