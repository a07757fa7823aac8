// Containers: made from an OCI spec and a root file system, started, looked at, ended.
//
// The engine behind it: the agent starts itself as a small `init` stage inside new namespaces and the
// container's cgroup (clone3), hands it a description of what to build, and the stage ends in the exec of the
// user's program.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "guest/cgroup/cgroup.h"
#include "guest/container/process.h"
#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::container {

class StageClient;

// The `init` stage. main() calls it before anything else:
//   if (container::is_init_stage(argc, argv)) return container::run_init_stage();
bool is_init_stage(int argc, char** argv);
int run_init_stage();

struct LaunchSpec {
  std::string id;
  // spec.linux.namespaces decide: a path = joined, no path = new, type absent = the agent's own is shared.
  // `mount` is always new, `network` without a path is the agent's own (the VM is the pod's network).
  // spec.root.path is not read: `rootfs` is.
  oci::Spec spec;
  // Folder of the container; hooks see it in their state.
  std::string bundle;
  // Absolute guest path of the container's root file system, mounted and ready.
  std::string rootfs;
  // Bytes that the pipes of the standard streams hold; 0 = the kernel's default.
  size_t pipe_size = 0;
};

// kCreated → kRunning ⇄ kPaused → kStopped.
enum class State { kCreated, kRunning, kPaused, kStopped };
std::string_view state_name(State state);

class Container : public std::enable_shared_from_this<Container> {
 public:
  // Builds everything up to, not including, the exec of the user's program: cgroup, namespaces, mounts, hooks
  // prestart, createRuntime, createContainer. On error nothing of it is left. A program that is missing:
  // kNotFound `exec: "x": executable file not found in $PATH`; not executable: kPermissionDenied; a field
  // that makes no sense: kInvalidArgument naming it.
  static Awaitable<std::shared_ptr<Container>> create(const cgroup::Hierarchy& hierarchy, LaunchSpec spec);
  ~Container();

  [[nodiscard]] const std::string& id() const { return launch_.id; }
  [[nodiscard]] const oci::Spec& spec() const { return launch_.spec; }
  [[nodiscard]] State state() const;
  [[nodiscard]] const std::shared_ptr<Process>& init() const { return init_; }

  // Runs the program. kFailedPrecondition unless kCreated. Poststart hooks run before it returns; their
  // failure is a warning.
  Awaitable<> start();
  // Creates and starts another process. kFailedPrecondition when init has ended. The caller keeps exec ids
  // apart.
  Awaitable<std::shared_ptr<Process>> exec(oci::Process process);
  // To all processes of the cgroup.
  Awaitable<> signal_all(int number);
  Awaitable<> pause();
  Awaitable<> resume();
  void update(const oci::Resources& resources);
  [[nodiscard]] cgroup::Stats stats() const;
  // Pids (of the agent's namespace) in the container.
  [[nodiscard]] std::vector<pid_t> processes() const;
  // Returns at the next OOM kill; one caller.
  Awaitable<> wait_oom();
  bool take_oom_kill();
  // Kills all that runs, runs poststop hooks, removes the cgroup. Every step runs, failures are logged.
  // Idempotent. The rootfs mount is the caller's.
  Awaitable<> destroy();

 private:
  explicit Container(LaunchSpec launch);
  Awaitable<> build(asio::any_io_executor executor, const cgroup::Hierarchy& hierarchy);
  Awaitable<> run_create_hooks(pid_t pid);
  Awaitable<> kill_all();
  [[nodiscard]] uint32_t owner_of_streams(const oci::Process& process) const;

  LaunchSpec launch_;
  std::unique_ptr<cgroup::Cgroup> cgroup_;
  std::shared_ptr<Process> init_;
  // Until start().
  std::unique_ptr<StageClient> stage_;
  bool started_ = false, paused_ = false, destroyed_ = false;
};

}  // namespace kata::container
