// What a sandbox has on the node, on disk, so that `delete` can clean up after any crash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace kata::sandbox {

// A process that cannot be confused with a later one of the same pid.
struct RecordedProcess {
  // "vmm", "virtiofsd", "vsock-device", "shim".
  std::string role;
  pid_t pid = 0;
  // Field 22 of /proc/<pid>/stat: clock ticks since boot.
  uint64_t start_time = 0;
};

// A container whose poststop hooks are to be run when it is deleted: they are in its bundle's spec.
struct HookedContainer {
  std::string id;
  std::string bundle;
};

struct SandboxState {
  static constexpr int kVersion = 1;
  std::string sandbox_id;
  std::string containerd_namespace;
  std::vector<RecordedProcess> processes;
  // Folders of control groups that were not there before, parents first.
  std::vector<std::string> cgroups;
  std::vector<HookedContainer> hooked;
};

// Atomic: a crash leaves the old or the new state.
void save_state(const std::string& path, const SandboxState& state);
// None if there is no file or it does not parse (a crash of a much older version): clean-up then relies on
// the other traces.
std::optional<SandboxState> load_state(const std::string& path);

// Pid and start time of a living process; none if it is gone.
std::optional<RecordedProcess> record_process(std::string role, pid_t pid);
// Kills the process with SIGKILL if it is still the recorded one and waits until it is gone, at most a
// second. Returns whether it was there.
bool kill_recorded(const RecordedProcess& process);

}  // namespace kata::sandbox
