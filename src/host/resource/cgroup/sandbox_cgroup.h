// The control groups of one sandbox on the node.
//
// Life: construct (nothing happens), create, enter, then the processes that the shim starts are born inside;
// apply and place_vcpus at any time; release at the end. Blocking calls of microseconds, on the program's one
// thread.
// Sources: the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/*.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "host/resource/cgroup/cgroup_plan.h"
#include "host/resource/cgroup/node_files.h"
#include "lib/async/awaitable.h"
#include "lib/error/teardown.h"
#include "lib/linux/cgroup_layout.h"

namespace kata::node_cgroup {

// What the sandbox may use. Absent = as it is.
struct NodeLimits {
  // As OCI's cpu.shares: 2 to 262144.
  std::optional<uint64_t> cpu_shares;
  // Microseconds per period; negative = no limit.
  std::optional<int64_t> cpu_quota;
  std::optional<uint64_t> cpu_period;
  // Kernel's list format; empty = as it is.
  std::string cpus, mems;
  // Of the whole VMM process, guest memory included; 0 = no limit.
  std::optional<uint64_t> memory_bytes;
};

class SandboxCgroup {
 public:
  SandboxCgroup(std::shared_ptr<NodeFiles> files, kernel::CgroupLayout layout, CgroupPlan plan);

  // Folders that create() will make, parents first: to be recorded before they exist.
  [[nodiscard]] std::vector<std::string> missing_folders() const;
  // Makes the folders; controllers are enabled down to them where that is asked for (v2), a cpuset gets its
  // parent's CPUs (v1). On failure nothing of them is left.
  void create();
  // Moves this process. Where the kernel says "already exists" it is tried exactly once more (behaviour B18:
  // two sandboxes that use one path).
  void enter();
  // Files that the VMM must write itself into before it runs because it is not to be where the shim is; empty
  // when it is born in the right place.
  [[nodiscard]] std::vector<std::string> vmm_entry_files() const;
  // Whether restrict_devices() has anything to do: v1, and a folder that this sandbox made.
  [[nodiscard]] bool restricts_devices() const { return !own_devices_folder().empty(); }
  // Restricts which devices may be opened (v1; v2 has no such files). A node that refuses is warned about.
  void restrict_devices(const std::vector<std::string>& rules);
  void apply(const NodeLimits& limits);
  [[nodiscard]] bool places_vcpus() const { return !plan_.overhead.empty(); }
  // kOverhead: moves those threads to where the pod's limits are. Does nothing with kSandboxOnly.
  void place_vcpus(const std::vector<pid_t>& threads);
  // How often the kernel killed a process of the sandbox for lack of memory.
  [[nodiscard]] uint64_t oom_kills() const;
  // Path below the hierarchies, for messages.
  [[nodiscard]] const std::string& path() const { return plan_.sandbox; }

  // Moves this process back to where it was and removes what create() made; waits a moment for processes that
  // are still ending. Every step runs. Idempotent.
  Awaitable<> release(Teardown& teardown);

  // Removes these folders, children first; parents that others use by now stay. Also for the time after a
  // crash. Waits a moment for processes that are still ending.
  static Awaitable<> remove(NodeFiles& files, std::vector<std::string> folders, Teardown& teardown);

 private:
  // Where this process came from: a hierarchy's mount and the folder in it.
  struct Home {
    std::string mount, folder;
  };
  [[nodiscard]] bool unified() const { return layout_.version == kernel::CgroupVersion::kV2; }
  // Folder of the sandbox's (or overhead's) cgroup of a controller; empty if the node does not have that.
  [[nodiscard]] std::string folder(const std::string& controller, const std::string& path) const;
  [[nodiscard]] std::vector<std::string> mounts() const;
  // Where the limits on CPU time are written: the vCPUs' own cgroup, if they have one.
  [[nodiscard]] std::string cpu_folder(const std::string& controller) const;
  [[nodiscard]] std::string own_devices_folder() const;
  void prepare_folder(const std::string& path);
  void inherit_cpuset(const std::string& path);
  void enter_once();
  void move_threads(const std::string& folder);
  void remember_home();
  void write_limit(const std::string& controller, const std::string& file, const std::string& value,
                   const std::string& folder);
  void apply_cpu(const NodeLimits& limits);
  void apply_cpuset(const NodeLimits& limits);
  void apply_memory(uint64_t bytes);

  std::shared_ptr<NodeFiles> files_;
  kernel::CgroupLayout layout_;
  CgroupPlan plan_;
  std::vector<std::string> made_;
  std::vector<Home> homes_;
};

}  // namespace kata::node_cgroup
