#include "host/shim/task_events.h"

#include <algorithm>
#include <utility>

#include <fcntl.h>

#include "host/shim/convert.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

#include "containerd/events.pb.h"

namespace kata::shim {

namespace proto = containerd::events;

void TaskEvents::send(std::string_view topic, const google::protobuf::MessageLite& message) {
  output_->publish(make_event(topic, message));
}

void TaskEvents::created(const containerd::task::v3::CreateTaskRequest& request, uint32_t pid) {
  containers_[request.id()].bundle = request.bundle();
  proto::TaskCreate event;
  event.set_container_id(request.id());
  event.set_bundle(request.bundle());
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_checkpoint(request.checkpoint());
  event.set_pid(pid);
  send("/tasks/create", event);
}

void TaskEvents::exec_added(const std::string& id, const std::string& exec_id) {
  proto::TaskExecAdded event;
  event.set_container_id(id);
  event.set_exec_id(exec_id);
  send("/tasks/exec-added", event);
}

void TaskEvents::starting(const std::string& id, const std::string& exec_id) {
  containers_[id].starting.insert(exec_id);
}

void TaskEvents::started(const std::string& id, const std::string& exec_id, uint32_t pid) {
  if (exec_id.empty()) {
    proto::TaskStart event;
    event.set_container_id(id);
    event.set_pid(pid);
    send("/tasks/start", event);
  } else {
    proto::TaskExecStarted event;
    event.set_container_id(id);
    event.set_exec_id(exec_id);
    event.set_pid(pid);
    send("/tasks/exec-started", event);
  }
  containers_[id].starting.erase(exec_id);
  release(id);
}

void TaskEvents::start_failed(const std::string& id, const std::string& exec_id) {
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  found->second.starting.erase(exec_id);
  std::erase_if(found->second.held, [&](const HeldExit& held) { return held.exec_id == exec_id; });
  release(id);
}

void TaskEvents::paused(const std::string& id) {
  proto::TaskPaused event;
  event.set_container_id(id);
  send("/tasks/paused", event);
}

void TaskEvents::resumed(const std::string& id) {
  proto::TaskResumed event;
  event.set_container_id(id);
  send("/tasks/resumed", event);
}

void TaskEvents::deleted(const std::string& id, uint32_t pid, const sandbox::ExitInfo& exit) {
  proto::TaskDelete event;
  event.set_container_id(id);
  event.set_pid(pid);
  event.set_exit_status(exit.status);
  set_timestamp(*event.mutable_exited_at(), exit.at);
  send("/tasks/delete", event);
  containers_.erase(id);
}

void TaskEvents::send_exit(const std::string& id, const HeldExit& held) {
  proto::TaskExit event;
  event.set_container_id(id);
  event.set_id(held.exec_id.empty() ? id : held.exec_id);
  event.set_pid(held.pid);
  event.set_exit_status(held.exit.status);
  set_timestamp(*event.mutable_exited_at(), held.exit.at);
  send("/tasks/exit", event);
}

void TaskEvents::on_exit(const std::string& container_id, const std::string& exec_id, uint32_t pid,
                         const sandbox::ExitInfo& exit) {
  containers_[container_id].held.push_back({exec_id, pid, exit});
  release(container_id);
}

// Sends what no longer waits for anything: an exec for its own start, the first process for all the others.
void TaskEvents::release(const std::string& id) {
  Container& container = containers_[id];
  std::vector<HeldExit> held = std::exchange(container.held, {});
  for (HeldExit& exit : held) {
    if (exit.exec_id.empty() || container.starting.contains(exit.exec_id)) {
      container.held.push_back(std::move(exit));
    } else {
      send_exit(id, exit);
    }
  }
  if (container.held.size() == 1 && container.held[0].exec_id.empty() && container.starting.empty()) {
    send_exit(id, container.held[0]);
    container.held.clear();
  }
}

void TaskEvents::on_oom(const std::string& container_id) {
  proto::TaskOOM event;
  event.set_container_id(container_id);
  send("/tasks/oom", event);
  Container& container = containers_[container_id];
  ++container.oom_kills;
  if (manager_ != Manager::kCrio || container.bundle.empty()) return;
  // conmon's sign, which CRI-O looks for.
  try {
    write_file(container.bundle + "/oom", "");
  } catch (const std::exception& error) {
    log::warning("an OOM kill cannot be shown to CRI-O",
                 {{"container", container_id}, {"error", error.what()}});
  }
}

uint64_t TaskEvents::oom_kills(const std::string& id) const {
  const auto found = containers_.find(id);
  return found == containers_.end() ? 0 : found->second.oom_kills;
}

}  // namespace kata::shim
