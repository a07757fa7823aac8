// A pod: one VM, its containers and their processes. Knows no containerd.
//
// Life: the first create_container() boots the VM; every container after it joins; stop() ends all. Each call
// may come at any time and in any order: what does not fit the state is answered by an Error (kNotFound,
// kAlreadyExists, kFailedPrecondition), never by a hang: whatever is asked of the guest has a limit. One
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/agent/agent_client.h"
#include "host/config/config.h"
#include "host/sandbox/types.h"
#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

// Where a sandbox reports what happens without being asked. Calls must not throw and must not call back into
// the sandbox.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // A process ended; exec_id is empty for a container's first process. Exactly once per started process; a
  // container's own exit comes after those of its execs.
  virtual void on_exit(const std::string& container_id, const std::string& exec_id, uint32_t pid,
                       const ExitInfo& exit) = 0;
  virtual void on_oom(const std::string& container_id) = 0;
};

struct SandboxConfig {
  // Sandbox id = id of its first container.
  std::string id;
  // containerd's namespace ("default", "k8s.io"); for logs and state.
  std::string containerd_namespace;
  config::Config config;
};

class Sandbox {
 public:
  static std::shared_ptr<Sandbox> create(asio::any_io_executor executor, SandboxConfig config,
                                         std::shared_ptr<EventSink> events);
  virtual ~Sandbox() = default;

  // Prepares rootfs and stdio and creates the container in the guest; boots the VM first if it does not run.
  // On failure nothing of the container is left, and nothing of the VM if this was its first container.
  // Returns the pid to report.
  virtual Awaitable<uint32_t> create_container(ContainerRequest request) = 0;
  // For managers whose pods have no container of their own: boots the VM for `pod`, a spec that says only
  // what concerns the pod (host name, annotations, sysctls, network namespace). It lives until stop(),
  // whatever its containers do. On failure nothing of it is left. Returns the pid to report.
  virtual Awaitable<uint32_t> boot_empty(oci::Spec pod) = 0;
  // Returns when the sandbox has ended: status 0 after stop(), 255 when its VM ended by itself.
  virtual Awaitable<ExitInfo> wait_end() = 0;
  // Runs a created container (exec_id empty) or an added exec. Returns the pid to report.
  virtual Awaitable<uint32_t> start(std::string container_id, std::string exec_id) = 0;
  // Registers an exec; nothing runs before start().
  virtual void add_exec(ExecRequest request) = 0;
  // Returns when the process has ended (at once if it has), for any number of waiters; also when it was never
  // started but its container is gone.
  virtual Awaitable<ExitInfo> wait(std::string container_id, std::string exec_id) = 0;
  // Forgets a stopped or never started process and frees what it had; a running one is kFailedPrecondition.
  // For a container's first process the container goes, with all its execs.
  virtual Awaitable<ExitInfo> remove(std::string container_id, std::string exec_id) = 0;
  enum class KillScope { kProcess, kAll };
  // Behaviours B1 and B4: recorded exit = kNotFound; gone in the guest or agent lost = success for SIGKILL
  // and SIGTERM.
  virtual Awaitable<> kill(std::string container_id, std::string exec_id, uint32_t signal,
                           KillScope scope) = 0;
  virtual Awaitable<> resize(std::string container_id, std::string exec_id, uint32_t width,
                             uint32_t height) = 0;
  // Closes the process's stdin after all pending bytes were forwarded.
  virtual Awaitable<> close_stdin(std::string container_id, std::string exec_id) = 0;
  virtual Awaitable<> pause(std::string container_id) = 0;
  virtual Awaitable<> resume(std::string container_id) = 0;
  virtual Awaitable<> update(std::string container_id, oci::Resources resources) = 0;
  virtual Awaitable<ContainerStats> stats(std::string container_id) = 0;
  // The reported pid first, then in-guest pids of further processes where the agent tells them.
  virtual Awaitable<std::vector<uint32_t>> pids(std::string container_id) = 0;

  [[nodiscard]] virtual ProcessStatus status(const std::string& container_id,
                                             const std::string& exec_id) const = 0;
  // All containers known, in order of creation.
  [[nodiscard]] virtual std::vector<std::string> containers() const = 0;
  // The VMM's pid; 0 before the VM was started.
  [[nodiscard]] virtual uint32_t pid() const = 0;
  // "vsock://3:1024"; empty before the VM was started.
  [[nodiscard]] virtual std::string agent_url() const = 0;
  // Prometheus text of the guest agent.
  virtual Awaitable<std::string> agent_metrics() = 0;
  // How long the agent took to answer so far, as Prometheus text.
  [[nodiscard]] virtual std::string agent_latencies() const = 0;

  // What operators ask of the guest (the management socket). kUnavailable without a VM; other errors are the
  // agent's.
  using IpVersion = agent::AgentClient::IpVersion;
  virtual Awaitable<std::string> ip_tables(IpVersion version) = 0;
  virtual Awaitable<std::string> set_ip_tables(IpVersion version, std::string rules) = 0;
  virtual Awaitable<> set_policy(std::string policy) = 0;
  // A volume by its path on the node (the source of a mount) or in the guest.
  virtual Awaitable<std::vector<agent::VolumeUsage>> volume_stats(std::string path) = 0;
  virtual Awaitable<> resize_volume(std::string path, uint64_t bytes) = 0;

  // Stops everything: processes still running get exit status 137 (255 if the VM died by itself), the VM
  // goes, all resources of the node are given back. Idempotent, best effort, always completes within its
  // limits.
  virtual Awaitable<> stop() = 0;
};

// What `delete` does after a crash: removes all that a sandbox or one of its containers may have left, by the
// state on disk alone: VMM and helper processes (by pid and start time), mounts, sockets, directories. Safe
// to call twice and for ids that never existed. Never touches the VM when `container_id` is not the sandbox's
// own id. Takes at most `limit`.
Awaitable<> clean_up_leftovers(std::string sandbox_id, std::string container_id, Duration limit);

}  // namespace kata::sandbox
