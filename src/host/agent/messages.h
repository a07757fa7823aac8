// What is said to the guest agent and what it answers, as plain values (facts: agent-api, section 2).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lib/oci/spec.h"

namespace kata::agent {

// A storage that the guest mounts or creates (section 4 of the facts).
struct Storage {
  std::string driver;
  std::vector<std::string> driver_options;
  std::string source;
  std::string fstype;
  std::vector<std::string> options;
  std::string mount_point;
  bool shared = false;
  // Group that its files get; 0 = they stay as they are.
  uint32_t fs_group = 0;
};

struct GuestDevice {
  std::string id, type, vm_path, container_path;
  std::vector<std::string> options;
};

struct KernelModule {
  std::string name;
  std::vector<std::string> parameters;
};

struct IpAddress {
  std::string address;
  uint8_t prefix = 0;
};

// A link of the guest (section 6 of the facts).
struct Interface {
  // Name on the host; `name` is the one wanted in the guest.
  std::string device, name;
  std::vector<IpAddress> addresses;
  uint64_t mtu = 0;
  // By which the guest finds the link.
  std::string mac;
  // PCI path to wait for; empty = none.
  std::string device_path;
  std::string type;
  uint32_t raw_flags = 0;
};

struct Route {
  // "10.0.0.0/8"; empty = default.
  std::string destination;
  std::string gateway, device, source;
  uint32_t scope = 0;
  bool ipv6 = false;
  uint32_t flags = 0;
  // 0 = the link's.
  uint32_t mtu = 0;
};

struct Neighbour {
  std::string ip, device, mac;
  // NUD_* and NTF_*.
  int32_t state = 0, flags = 0;
};

struct SandboxSetup {
  std::string sandbox_id;
  std::string hostname;
  // Lines of resolv.conf.
  std::vector<std::string> dns;
  std::vector<Storage> storages;
  std::string guest_hook_path;
  std::vector<KernelModule> kernel_modules;
};

// A mount that one container of the pod made and another one gets when it is created.
struct SharedMount {
  std::string name;
  std::string source_container, source_path;
  std::string target_container, target_path;
};

struct ContainerSetup {
  std::string id;
  std::vector<Storage> storages;
  std::vector<GuestDevice> devices;
  oci::Spec spec;
  bool sandbox_pidns = false;
  std::vector<SharedMount> shared_mounts;
};

// A chunk of a file, a folder or a symbolic link that is made in the guest.
struct FileChunk {
  // Absolute, below the guest's folder for copies.
  std::string path;
  // Type and permissions.
  uint32_t mode = 0;
  uint32_t uid = 0, gid = 0;
  // Of the whole file; 0 for folders and links.
  uint64_t file_size = 0;
  uint64_t offset = 0;
  // Bytes of the file from `offset` on, or the target of a link.
  std::string data;
};

struct GuestDetails {
  std::string agent_version;
  uint64_t memory_block_bytes = 0;
  std::vector<std::string> storage_drivers;
  std::vector<std::string> features;
};

struct GuestProcess {
  // In the guest's pid namespace.
  uint32_t pid = 0;
  // Set for processes that the host started: the container's id for its first process.
  std::string exec_id;
};

// Of one volume, in bytes or in inodes.
struct VolumeUsage {
  enum class Unit { kUnknown = 0, kBytes = 1, kInodes = 2 };
  uint64_t available = 0, total = 0, used = 0;
  Unit unit = Unit::kUnknown;
};

struct MemoryData {
  uint64_t usage = 0, max_usage = 0, failcnt = 0, limit = 0;
};

struct IoCounter {
  uint64_t major = 0, minor = 0;
  std::string op;
  uint64_t value = 0;
};

struct HugetlbData {
  uint64_t usage = 0, max_usage = 0, failcnt = 0;
};

struct NetworkData {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

// Counters of a container as the agent gives them; times in nanoseconds.
struct ContainerCounters {
  uint64_t cpu_total = 0, cpu_kernel = 0, cpu_user = 0;
  std::vector<uint64_t> per_cpu;
  uint64_t periods = 0, throttled_periods = 0, throttled_time = 0;
  uint64_t pids_current = 0, pids_limit = 0;
  uint64_t cache = 0;
  MemoryData memory, swap, kernel;
  std::map<std::string, uint64_t> memory_stat;
  std::vector<IoCounter> io_service_bytes, io_serviced;
  std::map<std::string, HugetlbData> hugetlb;
  std::vector<NetworkData> network;
};

}  // namespace kata::agent
