// Reads the "linux" part of config.json: the specification's config-linux.md.
#include "lib/oci/json_types.h"

namespace kata::oci::detail {

// Static, not in an unnamed namespace: the templates of json_reader.h find these by their argument Node.

static void read(const Node& node, Namespace& out) {
  get(node, "type", out.type);
  get(node, "path", out.path);
}

static void read(const Node& node, Device& out) {
  get(node, "path", out.path);
  get(node, "type", out.type);
  get(node, "major", out.major);
  get(node, "minor", out.minor);
  get(node, "fileMode", out.file_mode);
  get(node, "uid", out.uid);
  get(node, "gid", out.gid);
}

static void read(const Node& node, DeviceCgroupRule& out) {
  get(node, "allow", out.allow);
  get(node, "type", out.type);
  get(node, "major", out.major);
  get(node, "minor", out.minor);
  get(node, "access", out.access);
}

static void read(const Node& node, MemoryLimits& out) {
  get(node, "limit", out.limit);
  get(node, "reservation", out.reservation);
  get(node, "swap", out.swap);
  get(node, "kernel", out.kernel);
  get(node, "kernelTCP", out.kernel_tcp);
  get(node, "swappiness", out.swappiness);
  get(node, "disableOOMKiller", out.disable_oom_killer);
  get(node, "useHierarchy", out.use_hierarchy);
  get(node, "checkBeforeUpdate", out.check_before_update);
}

static void read(const Node& node, CpuLimits& out) {
  get(node, "shares", out.shares);
  get(node, "quota", out.quota);
  get(node, "burst", out.burst);
  get(node, "period", out.period);
  get(node, "realtimeRuntime", out.realtime_runtime);
  get(node, "realtimePeriod", out.realtime_period);
  get(node, "cpus", out.cpus);
  get(node, "mems", out.mems);
  get(node, "idle", out.idle);
}

static void read(const Node& node, WeightDevice& out) {
  get(node, "major", out.major);
  get(node, "minor", out.minor);
  get(node, "weight", out.weight);
  get(node, "leafWeight", out.leaf_weight);
}

static void read(const Node& node, ThrottleDevice& out) {
  get(node, "major", out.major);
  get(node, "minor", out.minor);
  get(node, "rate", out.rate);
}

static void read(const Node& node, BlockIoLimits& out) {
  get(node, "weight", out.weight);
  get(node, "leafWeight", out.leaf_weight);
  get(node, "weightDevice", out.weight_device);
  get(node, "throttleReadBpsDevice", out.throttle_read_bps);
  get(node, "throttleWriteBpsDevice", out.throttle_write_bps);
  get(node, "throttleReadIOPSDevice", out.throttle_read_iops);
  get(node, "throttleWriteIOPSDevice", out.throttle_write_iops);
}

static void read(const Node& node, HugepageLimit& out) {
  get(node, "pageSize", out.page_size);
  get(node, "limit", out.limit);
}

static void read(const Node& node, InterfacePriority& out) {
  get(node, "name", out.name);
  get(node, "priority", out.priority);
}

static void read(const Node& node, NetworkLimits& out) {
  get(node, "classID", out.class_id);
  get(node, "priorities", out.priorities);
}

static void read(const Node& node, RdmaLimit& out) {
  get(node, "hcaHandles", out.hca_handles);
  get(node, "hcaObjects", out.hca_objects);
}

static void read(const Node& node, SeccompArg& out) {
  get(node, "index", out.index);
  get(node, "value", out.value);
  get(node, "valueTwo", out.value_two);
  get(node, "op", out.op);
}

static void read(const Node& node, SeccompSyscall& out) {
  get(node, "names", out.names);
  get(node, "action", out.action);
  get(node, "errnoRet", out.errno_ret);
  get(node, "args", out.args);
}

static void read(const Node& node, Seccomp& out) {
  get(node, "defaultAction", out.default_action);
  get(node, "defaultErrnoRet", out.default_errno_ret);
  get(node, "architectures", out.architectures);
  get(node, "flags", out.flags);
  get(node, "listenerPath", out.listener_path);
  get(node, "listenerMetadata", out.listener_metadata);
  get(node, "syscalls", out.syscalls);
}

static void read(const Node& node, TimeOffset& out) {
  get(node, "secs", out.secs);
  get(node, "nanosecs", out.nanosecs);
}

static void read(const Node& node, IntelRdt& out) {
  get(node, "closID", out.clos_id);
  get(node, "l3CacheSchema", out.l3_cache_schema);
  get(node, "memBwSchema", out.mem_bw_schema);
}

void read(const Node& node, IdMapping& out) {
  get(node, "containerID", out.container_id);
  get(node, "hostID", out.host_id);
  get(node, "size", out.size);
}

void read(const Node& node, Resources& out) {
  get(node, "devices", out.devices);
  get(node, "memory", out.memory);
  get(node, "cpu", out.cpu);
  if (const auto* pids = node.find("pids")) get(Node(*pids, node, "pids"), "limit", out.pids_limit);
  get(node, "blockIO", out.block_io);
  get(node, "hugepageLimits", out.hugepage_limits);
  get(node, "network", out.network);
  get(node, "rdma", out.rdma);
  get(node, "unified", out.unified);
}

void read(const Node& node, Linux& out) {
  get(node, "uidMappings", out.uid_mappings);
  get(node, "gidMappings", out.gid_mappings);
  get(node, "sysctl", out.sysctl);
  get(node, "resources", out.resources);
  get(node, "cgroupsPath", out.cgroups_path);
  get(node, "namespaces", out.namespaces);
  get(node, "devices", out.devices);
  get(node, "seccomp", out.seccomp);
  get(node, "rootfsPropagation", out.rootfs_propagation);
  get(node, "maskedPaths", out.masked_paths);
  get(node, "readonlyPaths", out.readonly_paths);
  get(node, "mountLabel", out.mount_label);
  get(node, "intelRdt", out.intel_rdt);
  if (const auto* personality = node.find("personality")) {
    get(Node(*personality, node, "personality"), "domain", out.personality);
  }
  get(node, "timeOffsets", out.time_offsets);
}

}  // namespace kata::oci::detail
