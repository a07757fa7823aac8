// What happens to tasks, told to containerd in the order it relies on.
//
// Per process: create, start, exit, delete; exec-added, exec-started, exit; the exit of a container's first
// process after those of its execs. Each exactly once.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/sandbox/sandbox.h"
#include "host/shim/events.h"

#include "containerd/task.pb.h"

namespace kata::shim {

enum class Manager { kContainerd, kCrio };

class TaskEvents final : public sandbox::EventSink {
 public:
  // Under CRI-O an OOM kill also leaves the file <bundle>/oom.
  TaskEvents(std::shared_ptr<EventOutput> output, Manager manager)
      : output_(std::move(output)), manager_(manager) {}

  void created(const containerd::task::v3::CreateTaskRequest& request, uint32_t pid);
  void exec_added(const std::string& id, const std::string& exec_id);
  // A process may end before the call that starts it has returned: from starting() to started() or
  // start_failed() its exit is held back.
  void starting(const std::string& id, const std::string& exec_id);
  void started(const std::string& id, const std::string& exec_id, uint32_t pid);
  void start_failed(const std::string& id, const std::string& exec_id);
  void paused(const std::string& id);
  void resumed(const std::string& id);
  void deleted(const std::string& id, uint32_t pid, const sandbox::ExitInfo& exit);

  void on_exit(const std::string& container_id, const std::string& exec_id, uint32_t pid,
               const sandbox::ExitInfo& exit) override;
  void on_oom(const std::string& container_id) override;

  // OOM kills told of since the container was created.
  [[nodiscard]] uint64_t oom_kills(const std::string& id) const;

 private:
  struct HeldExit {
    std::string exec_id;
    uint32_t pid;
    sandbox::ExitInfo exit;
  };
  struct Container {
    std::string bundle;
    std::set<std::string> starting;
    std::vector<HeldExit> held;
    uint64_t oom_kills = 0;
  };

  void send(std::string_view topic, const google::protobuf::MessageLite& message);
  void send_exit(const std::string& id, const HeldExit& held);
  void release(const std::string& id);

  std::shared_ptr<EventOutput> output_;
  Manager manager_;
  std::map<std::string, Container> containers_;
};

}  // namespace kata::shim
