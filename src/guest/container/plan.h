// What the init stage has to build, as a value: written by the agent into a memfd, read by the stage.
//
// All names (capabilities, resource limits, mount words, seccomp) are numbers already: whatever can be wrong
// with a spec is found in the agent, before anything exists. The encoding is private to one binary:
// fixed-width little-endian numbers, length-prefixed strings and lists, no versions.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error/error.h"
#include "lib/oci/spec.h"

namespace kata::container {

// How a mount of type cgroup is made.
enum class CgroupView : uint8_t {
  kNone,     // not a cgroup mount
  kUnified,  // one cgroup2 mount
  kLegacy,   // a tmpfs with a folder per controller
};

struct MountPlan {
  std::string source, target, fstype, data;
  uint64_t flags = 0, cleared = 0, propagation = 0, recursive_set = 0, recursive_clear = 0;
  bool tmpcopyup = false;
  // Descriptor of a detached, id-mapped tree that takes the place of the source; -1 = none.
  int32_t tree_fd = -1;
  CgroupView cgroup = CgroupView::kNone;
};

struct DevicePlan {
  std::string path;
  // S_IFCHR, S_IFBLK or S_IFIFO with the permission bits.
  uint32_t mode = 0;
  uint32_t major = 0, minor = 0, uid = 0, gid = 0;
};

struct NamespaceJoin {
  // CLONE_NEW*.
  uint64_t kind = 0;
  std::string path;
};

// Bit n = capability n.
struct CapabilityPlan {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

struct RlimitPlan {
  int32_t resource = 0;
  uint64_t soft = 0, hard = 0;
};

struct SeccompPlan {
  // struct sock_filter[] as the kernel reads it.
  std::string program;
  // SECCOMP_FILTER_FLAG_*.
  uint64_t flags = 0;
};

// sched_setattr(2).
struct SchedulerPlan {
  uint32_t policy = 0, priority = 0;
  uint64_t flags = 0, runtime = 0, deadline = 0, period = 0;
  int32_t nice = 0;
};

struct ProcessPlan {
  std::vector<std::string> args, env;
  std::string cwd;
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  std::optional<uint32_t> umask;
  std::optional<CapabilityPlan> capabilities;
  std::vector<RlimitPlan> rlimits;
  bool no_new_privileges = false;
  std::optional<SeccompPlan> seccomp;
  std::optional<int64_t> oom_score_adj;
  bool terminal = false;
  uint16_t rows = 0, columns = 0;
  std::string apparmor_profile, selinux_label;
  std::optional<SchedulerPlan> scheduler;
  // ioprio_set(2) value.
  std::optional<uint32_t> io_priority;
  std::optional<uint64_t> personality;
  // CPU numbers for sched_setaffinity(2) once set up; empty = as inherited.
  std::vector<uint32_t> affinity;
};

// The part that only the first process of a container needs.
struct ContainerPlan {
  std::string rootfs;
  // MS_SHARED, ... with MS_REC; what "/" is made before and after the pivot (0 = default).
  uint64_t rootfs_propagation = 0;
  bool readonly_root = false;
  std::vector<MountPlan> mounts;
  std::vector<DevicePlan> devices;
  std::vector<std::string> masked_paths, readonly_paths;
  // Path below /proc/sys and value.
  std::vector<std::pair<std::string, std::string>> sysctl;
  std::string hostname, domainname, mount_label;
  // v1: controller and the container's folder in it.
  std::vector<std::pair<std::string, std::string>> cgroup_folders;
  // v2: the container's folder.
  std::string cgroup_folder;
  std::vector<oci::Hook> create_container_hooks, start_container_hooks;
  // What the hooks read on their standard input, without the status: "{...,\"status\":\"".
  std::string hook_state_head, hook_state_tail;
  // Whether the agent has hooks to run once the mounts are there.
  bool agent_hooks = false;
  // Offsets of a new time namespace in the format of /proc/self/timens_offsets; empty = none.
  std::string time_offsets;
  // CLONE_NEWUSER is part of the clone: ids are mapped by the agent, devices are bind mounts, and what the
  // agent does for the stage (oom_score_adj) is left out here.
  bool user_namespace = false;
};

struct InitPlan {
  // Joined in this order, by path; for an exec none (the pidfd of init is joined).
  std::vector<NamespaceJoin> joins;
  // Exec: CLONE_NEW* to join of the process behind kJoinFd; 0 otherwise.
  uint64_t join_of_init = 0;
  // CLONE_NEW* that the stage unshares itself.
  uint64_t unshare = 0;
  std::optional<ContainerPlan> container;
  ProcessPlan process;
};

// Fixed descriptors of the stage.
constexpr int kPlanFd = 3;
constexpr int kControlFd = 4;
// Exec: pidfd of the container's first process.
constexpr int kJoinFd = 5;
// First of the further descriptors that a plan names (id-mapped trees).
constexpr int kFirstExtraFd = 6;

std::string encode_plan(const InitPlan& plan);
std::expected<InitPlan, Error> decode_plan(std::string_view bytes);

}  // namespace kata::container
