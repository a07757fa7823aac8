#include <algorithm>

#include "guest/cgroup/device_filter.h"
#include "guest/cgroup/limits.h"
#include "guest/cgroup/v1.h"
#include "lib/error/error.h"

namespace kata::cgroup {
namespace {

const Folder& need(const V1Folders& folders, const char* controller) {
  const auto found = folders.find(controller);
  if (found == folders.end())
    throw Error(Code::kFailedPrecondition, std::string("the guest has no cgroup controller ") + controller);
  return found->second;
}

template <typename Number>
void write_number(const Folder& folder, const char* file, const std::optional<Number>& value) {
  if (value.value_or(0) != 0) folder.write(file, std::to_string(*value));
}

void apply_cpu(const V1Folders& folders, const oci::CpuLimits& cpu) {
  if (cpu.shares || cpu.quota || cpu.period || cpu.burst || cpu.idle || cpu.realtime_period ||
      cpu.realtime_runtime) {
    const Folder& folder = need(folders, "cpu");
    write_number(folder, "cpu.shares", cpu.shares);
    write_number(folder, "cpu.cfs_period_us", cpu.period);
    if (cpu.quota.value_or(0) != 0)
      folder.write("cpu.cfs_quota_us", std::to_string(std::max<int64_t>(*cpu.quota, -1)));
    if (cpu.burst) folder.write("cpu.cfs_burst_us", std::to_string(*cpu.burst));
    if (cpu.idle) folder.write("cpu.idle", std::to_string(*cpu.idle));
    write_number(folder, "cpu.rt_period_us", cpu.realtime_period);
    write_number(folder, "cpu.rt_runtime_us", cpu.realtime_runtime);
  }
  if (!cpu.cpus.empty()) need(folders, "cpuset").write("cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) need(folders, "cpuset").write("cpuset.mems", cpu.mems);
}

// The limit may never be above memory plus swap, at no moment: which of the two is written first depends on
// where they are now.
void apply_memory_and_swap(const Folder& folder, const oci::MemoryLimits& memory) {
  swap_max(memory);
  const auto limit = limit_text(memory.limit, "-1");
  const auto swap = limit_text(memory.swap, "-1");
  constexpr const char* kLimit = "memory.limit_in_bytes";
  constexpr const char* kSwap = "memory.memsw.limit_in_bytes";
  const bool raise =
      limit && (*limit == "-1" || static_cast<uint64_t>(*memory.limit) > folder.number(kLimit));
  const auto write_swap = [&] {
    if (swap && !folder.write_if_there(kSwap, *swap) && swap != limit && *swap != "-1")
      throw Error(Code::kFailedPrecondition, "resources.memory.swap: the guest kernel does not count swap");
    // Lifting the limit alone would run into the old sum.
    if (!swap && limit == "-1") folder.write_if_there(kSwap, "-1");
  };
  if (raise) write_swap();
  if (limit) folder.write(kLimit, *limit);
  if (!raise) write_swap();
}

void apply_memory(const V1Folders& folders, const oci::MemoryLimits& memory) {
  const Folder& folder = need(folders, "memory");
  apply_memory_and_swap(folder, memory);
  if (const auto soft = limit_text(memory.reservation, "-1"))
    folder.write("memory.soft_limit_in_bytes", *soft);
  if (const auto kernel = limit_text(memory.kernel_tcp, "-1"))
    folder.write("memory.kmem.tcp.limit_in_bytes", *kernel);
  if (memory.swappiness) {
    if (*memory.swappiness > 100)
      throw Error(Code::kInvalidArgument,
                  "swappiness " + std::to_string(*memory.swappiness) + " is not in 0..100");
    folder.write("memory.swappiness", std::to_string(*memory.swappiness));
  }
  if (memory.disable_oom_killer) folder.write("memory.oom_control", "1");
}

void apply_throttles(const Folder& folder, const std::vector<oci::ThrottleDevice>& devices,
                     const char* file) {
  for (const oci::ThrottleDevice& device : devices) {
    folder.write(file, std::to_string(device.major) + ":" + std::to_string(device.minor) + " " +
                           std::to_string(device.rate));
  }
}

void write_weight(const Folder& folder, const char* bfq, const char* cfq, const std::string& value) {
  if (!folder.write_if_there(bfq, value)) folder.write(cfq, value);
}

void apply_block_io(const V1Folders& folders, const oci::BlockIoLimits& io) {
  const Folder& folder = need(folders, "blkio");
  if (io.weight.value_or(0) != 0)
    write_weight(folder, "blkio.bfq.weight", "blkio.weight", std::to_string(*io.weight));
  if (io.leaf_weight.value_or(0) != 0) folder.write("blkio.leaf_weight", std::to_string(*io.leaf_weight));
  for (const oci::WeightDevice& device : io.weight_device) {
    const std::string number = std::to_string(device.major) + ":" + std::to_string(device.minor) + " ";
    if (device.weight)
      write_weight(folder, "blkio.bfq.weight_device", "blkio.weight_device",
                   number + std::to_string(*device.weight));
    if (device.leaf_weight)
      folder.write("blkio.leaf_weight_device", number + std::to_string(*device.leaf_weight));
  }
  apply_throttles(folder, io.throttle_read_bps, "blkio.throttle.read_bps_device");
  apply_throttles(folder, io.throttle_write_bps, "blkio.throttle.write_bps_device");
  apply_throttles(folder, io.throttle_read_iops, "blkio.throttle.read_iops_device");
  apply_throttles(folder, io.throttle_write_iops, "blkio.throttle.write_iops_device");
}

void apply_network(const V1Folders& folders, const oci::NetworkLimits& network) {
  if (network.class_id) need(folders, "net_cls").write("net_cls.classid", std::to_string(*network.class_id));
  for (const oci::InterfacePriority& priority : network.priorities)
    need(folders, "net_prio")
        .write("net_prio.ifpriomap", priority.name + " " + std::to_string(priority.priority));
}

// The kernel keeps a default and exceptions exactly as device_policy does; it wants one device per line.
void apply_devices(const V1Folders& folders, const std::vector<oci::DeviceCgroupRule>& rules) {
  const Folder& folder = need(folders, "devices");
  const DevicePolicy policy = device_policy(rules);
  folder.write(policy.allow ? "devices.allow" : "devices.deny", "a");
  for (const DevicePolicy::Entry& entry : policy.exceptions) {
    const auto part = [](const std::optional<uint32_t>& value) {
      return value ? std::to_string(*value) : "*";
    };
    const std::string device = " " + part(entry.major) + ":" + part(entry.minor) + " ";
    std::string access;
    if ((entry.access & 2) != 0) access += 'r';
    if ((entry.access & 4) != 0) access += 'w';
    if ((entry.access & 1) != 0) access += 'm';
    for (const char type : entry.type == 'a' ? std::string("bc") : std::string(1, entry.type))
      folder.write(policy.allow ? "devices.deny" : "devices.allow", std::string(1, type) + device + access);
  }
}

void apply_rdma(const V1Folders& folders, const std::map<std::string, oci::RdmaLimit>& limits) {
  for (const auto& [device, limit] : limits) {
    std::string line = device;
    if (limit.hca_handles) line += " hca_handle=" + std::to_string(*limit.hca_handles);
    if (limit.hca_objects) line += " hca_object=" + std::to_string(*limit.hca_objects);
    need(folders, "rdma").write("rdma.max", line);
  }
}

void apply_hugetlb(const V1Folders& folders, const std::vector<oci::HugepageLimit>& limits) {
  for (const oci::HugepageLimit& limit : limits) {
    const std::string size = huge_page_name(limit.page_size);
    need(folders, "hugetlb").write("hugetlb." + size + ".limit_in_bytes", std::to_string(limit.limit));
  }
}

}  // namespace

void apply_v1(const V1Folders& folders, const oci::Resources& resources) {
  if (resources.cpu) with_context("resources.cpu", [&] { apply_cpu(folders, *resources.cpu); });
  if (resources.memory) with_context("resources.memory", [&] { apply_memory(folders, *resources.memory); });
  if (resources.pids_limit) {
    with_context("resources.pids", [&] {
      need(folders, "pids")
          .write("pids.max", *resources.pids_limit <= 0 ? "max" : std::to_string(*resources.pids_limit));
    });
  }
  if (resources.block_io)
    with_context("resources.blockIO", [&] { apply_block_io(folders, *resources.block_io); });
  with_context("resources.hugepageLimits", [&] { apply_hugetlb(folders, resources.hugepage_limits); });
  if (resources.network)
    with_context("resources.network", [&] { apply_network(folders, *resources.network); });
  with_context("resources.rdma", [&] { apply_rdma(folders, resources.rdma); });
  if (!resources.devices.empty())
    with_context("resources.devices", [&] { apply_devices(folders, resources.devices); });
  if (!resources.unified.empty())
    throw Error(Code::kFailedPrecondition, "resources.unified needs cgroup v2, the guest runs v1");
}

}  // namespace kata::cgroup
