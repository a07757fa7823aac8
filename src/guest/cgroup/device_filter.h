// Device rules of cgroup v2: an eBPF program on the cgroup (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/fd/unique_fd.h"
#include "lib/oci/spec.h"

namespace kata::cgroup {

// What a list of rules, read in order, comes to: a default and exceptions from it.
struct DevicePolicy {
  struct Entry {
    // 'b', 'c' or 'a'.
    char type = 'a';
    // Absent = any.
    std::optional<uint32_t> major, minor;
    // 1 mknod, 2 read, 4 write (linux/bpf.h).
    uint32_t access = 0;
  };
  bool allow = true;
  std::vector<Entry> exceptions;
};

// The rules plus what every container may use (terminals, null, zero, random, the making of nodes).
// kInvalidArgument names the rule.
DevicePolicy device_policy(const std::vector<oci::DeviceCgroupRule>& rules);
// The same list for v1: rules that every container gets after its own.
const std::vector<oci::DeviceCgroupRule>& default_device_rules();

// Instructions (struct bpf_insn as 64-bit words) for a policy.
std::vector<uint64_t> compile_device_policy(const DevicePolicy& policy);

// The program that is attached to a cgroup. It goes with the cgroup.
class DeviceFilter {
 public:
  // Attaches the rules; then the earlier program goes. A policy without any denial needs no program.
  void replace(int cgroup_directory, const std::vector<oci::DeviceCgroupRule>& rules);

 private:
  UniqueFd program_;
};

}  // namespace kata::cgroup
