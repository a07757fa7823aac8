// What the containers of one pod may use together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/config/config.h"
#include "host/config/sizing.h"
#include "lib/oci/spec.h"

namespace kata::sizing {

// A container's part. `counts` is false for the pod's own (pause) container: it neither needs a limit nor
// makes the pod's unlimited.
struct ContainerShare {
  oci::Resources resources;
  bool counts = true;
};

// Sums over the containers; 0 and empty = nobody said.
struct Totals {
  double vcpus = 0;
  uint64_t memory_bytes = 0;
  uint64_t cpu_shares = 0;
  // Union of the CPU sets, in the kernel's list format.
  std::string cpus, mems;
  // Whether every container has a limit of that kind: only then has the pod one.
  bool cpu_limited = false, memory_limited = false;
};

class PodResources {
 public:
  // The pod's own limits where the manager tells them (annotations); they cover all its containers.
  void set_pod(config::PodLimits limits) { pod_ = limits; }
  // Adds a container or replaces its limits; what an update leaves open stays as it was.
  void set(const std::string& id, ContainerShare share);
  void update(const std::string& id, const oci::Resources& changes);
  void replace(const std::string& id, oci::Resources resources) {
    shares_[id].resources = std::move(resources);
  }
  void erase(const std::string& id) { shares_.erase(id); }
  [[nodiscard]] const oci::Resources* find(const std::string& id) const;

  [[nodiscard]] Totals totals() const;

 private:
  std::map<std::string, ContainerShare> shares_;
  config::PodLimits pod_;
};

// The CPUs of a list like "0-2,7", ascending; what is no list is left out.
std::vector<uint32_t> cpus_of(const std::string& list);

// The VM that those totals need: the file's default and the sum of limits, vCPUs rounded up on the sum,
// memory in whole MiB. Not capped: what cannot be had is said by whoever grows the VM.
struct WantedSize {
  uint32_t vcpus = 1;
  uint64_t memory_mib = 0;
};
WantedSize wanted_size(double default_vcpus, uint64_t default_memory_mib, const Totals& totals);

// Limits for the node's cgroup of the sandbox.
struct NodeShare {
  std::optional<uint64_t> cpu_shares;
  // Microseconds per 100 ms; -1 = none.
  int64_t cpu_quota = -1;
  std::string cpus, mems;
  // 0 = none. Never below what the VM and its VMM may need, so that only a VMM that runs away is killed.
  uint64_t memory_bytes = 0;
};
struct NodeOverhead {
  double vcpus = 0;
  // Of the VM as it is now.
  uint64_t vm_memory_mib = 0;
};
NodeShare node_share(const Totals& totals, const NodeOverhead& overhead);

}  // namespace kata::sizing
