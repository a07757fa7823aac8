// The plain types in which a pod's state is spoken of: no containerd, no protobuf.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "host/resource/rootfs/mounted_rootfs.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

enum class ProcessState { kCreated, kRunning, kStopped, kPaused, kPausing };

// Where the bytes of a process go on the host, as containerd names them: empty, a path or a URI for each
// stream.
struct Stdio {
  std::string in;
  std::string out;
  std::string err;
  bool terminal = false;
};

struct ExitInfo {
  uint32_t status = 0;
  std::chrono::system_clock::time_point at{};
};

// What State answers about one process.
struct ProcessStatus {
  std::string container_id;
  // Empty for the container's first process.
  std::string exec_id;
  std::string bundle;
  ProcessState state = ProcessState::kCreated;
  // Host pid reported for everything in the sandbox: the VMM's.
  uint32_t pid = 0;
  Stdio stdio;
  // Valid when stopped.
  ExitInfo exit;
};

struct ContainerRequest {
  std::string id;
  std::string bundle;
  // The snapshotter's mounts; empty = already mounted at spec.root.path.
  std::vector<rootfs::MountRequest> rootfs;
  Stdio stdio;
  oci::Spec spec;
};

struct ExecRequest {
  std::string container_id;
  std::string exec_id;
  Stdio stdio;
  oci::Process process;
  // The text that `process` was read from.
  std::string json;
};

// Counters of one container, independent of the cgroup version; see host/shim for the messages they become.
struct NamedCounter {
  std::string op;
  uint64_t major = 0, minor = 0;
  uint64_t value = 0;
};

struct MemoryCounter {
  uint64_t usage = 0, max_usage = 0, failcnt = 0, limit = 0;
};

struct HugetlbCounter {
  uint64_t usage = 0, max_usage = 0, failcnt = 0;
};

struct NetworkCounter {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

struct ContainerStats {
  // Nanoseconds.
  uint64_t cpu_total = 0, cpu_kernel = 0, cpu_user = 0;
  std::vector<uint64_t> per_cpu;
  uint64_t periods = 0, throttled_periods = 0, throttled_time = 0;
  uint64_t pids_current = 0, pids_limit = 0;
  uint64_t cache = 0;
  MemoryCounter memory, swap, kernel;
  // Raw names of memory.stat of the guest.
  std::map<std::string, uint64_t> memory_stat;
  std::vector<NamedCounter> io_service_bytes, io_serviced;
  std::map<std::string, HugetlbCounter> hugetlb;
  std::vector<NetworkCounter> network;
};

}  // namespace kata::sandbox
