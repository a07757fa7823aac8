#include "guest/cgroup/limits.h"
#include "guest/cgroup/v2.h"
#include "lib/error/error.h"

namespace kata::cgroup {
namespace {

void write_if(const Folder& folder, const char* file, const std::optional<std::string>& value) {
  if (value) folder.write(file, *value);
}

void apply_cpu(const Folder& folder, const oci::CpuLimits& cpu) {
  if (cpu.shares.value_or(0) != 0) folder.write("cpu.weight", std::to_string(weight_of_shares(*cpu.shares)));
  // Idle and weight exclude each other, idle has the last word.
  if (cpu.idle) folder.write("cpu.idle", std::to_string(*cpu.idle));
  write_if(folder, "cpu.max", cpu_max(cpu));
  if (cpu.burst) folder.write("cpu.max.burst", std::to_string(*cpu.burst));
  if (!cpu.cpus.empty()) folder.write("cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) folder.write("cpuset.mems", cpu.mems);
}

// With checkBeforeUpdate a limit below what is in use is refused instead of enforced by killing.
void check_usage(const Folder& folder, const oci::MemoryLimits& memory) {
  if (!memory.check_before_update || memory.limit.value_or(0) <= 0) return;
  const uint64_t usage = folder.number("memory.current");
  if (usage > static_cast<uint64_t>(*memory.limit))
    throw Error(Code::kFailedPrecondition, "resources.memory.limit " + std::to_string(*memory.limit) +
                                               " is below the usage of " + std::to_string(usage) + " bytes");
}

void apply_memory(const Folder& folder, const oci::MemoryLimits& memory) {
  check_usage(folder, memory);
  const auto swap = swap_max(memory);
  // A kernel without swap accounting has no such file; 0 and max then hold anyway.
  if (swap && !folder.write_if_there("memory.swap.max", *swap) && *swap != "0" && *swap != "max")
    throw Error(Code::kFailedPrecondition, "resources.memory.swap: the guest kernel does not count swap");
  write_if(folder, "memory.max", limit_text(memory.limit, "max"));
  write_if(folder, "memory.low", limit_text(memory.reservation, "max"));
}

void apply_throttles(const Folder& folder, const std::vector<oci::ThrottleDevice>& devices, const char* key) {
  for (const oci::ThrottleDevice& device : devices) {
    folder.write("io.max", std::to_string(device.major) + ":" + std::to_string(device.minor) + " " + key +
                               "=" + (device.rate == 0 ? "max" : std::to_string(device.rate)));
  }
}

void apply_block_io(const Folder& folder, const oci::BlockIoLimits& io) {
  if (io.weight.value_or(0) != 0) {
    // BFQ's own file where that scheduler is there takes the value as it is.
    if (!folder.write_if_there("io.bfq.weight", std::to_string(*io.weight)))
      folder.write("io.weight", "default " + std::to_string(io_weight_of(*io.weight)));
  }
  for (const oci::WeightDevice& device : io.weight_device) {
    if (!device.weight) continue;
    const std::string number = std::to_string(device.major) + ":" + std::to_string(device.minor) + " ";
    if (!folder.write_if_there("io.bfq.weight", number + std::to_string(*device.weight)))
      folder.write("io.weight", number + std::to_string(io_weight_of(*device.weight)));
  }
  apply_throttles(folder, io.throttle_read_bps, "rbps");
  apply_throttles(folder, io.throttle_write_bps, "wbps");
  apply_throttles(folder, io.throttle_read_iops, "riops");
  apply_throttles(folder, io.throttle_write_iops, "wiops");
}

void apply_hugetlb(const Folder& folder, const std::vector<oci::HugepageLimit>& limits) {
  for (const oci::HugepageLimit& limit : limits) {
    const std::string prefix = "hugetlb." + huge_page_name(limit.page_size);
    folder.write(prefix + ".max", std::to_string(limit.limit));
    folder.write_if_there(prefix + ".rsvd.max", std::to_string(limit.limit));
  }
}

void apply_rdma(const Folder& folder, const std::map<std::string, oci::RdmaLimit>& limits) {
  for (const auto& [device, limit] : limits) {
    std::string line = device;
    if (limit.hca_handles) line += " hca_handle=" + std::to_string(*limit.hca_handles);
    if (limit.hca_objects) line += " hca_object=" + std::to_string(*limit.hca_objects);
    folder.write("rdma.max", line);
  }
}

void apply_unified(const Folder& folder, const std::map<std::string, std::string>& values) {
  for (const auto& [file, value] : values) {
    if (file.empty() || file.find('/') != std::string::npos || file.find('.') == std::string::npos ||
        file.starts_with("cgroup."))
      throw Error(Code::kInvalidArgument,
                  "resources.unified: \"" + file + "\" is not a file of a controller");
    folder.write(file, value);
  }
}

}  // namespace

void apply_v2(const Folder& folder, const oci::Resources& resources) {
  if (resources.cpu) with_context("resources.cpu", [&] { apply_cpu(folder, *resources.cpu); });
  if (resources.memory) with_context("resources.memory", [&] { apply_memory(folder, *resources.memory); });
  if (resources.pids_limit) {
    with_context("resources.pids", [&] {
      folder.write("pids.max", *resources.pids_limit <= 0 ? "max" : std::to_string(*resources.pids_limit));
    });
  }
  if (resources.block_io)
    with_context("resources.blockIO", [&] { apply_block_io(folder, *resources.block_io); });
  with_context("resources.hugepageLimits", [&] { apply_hugetlb(folder, resources.hugepage_limits); });
  with_context("resources.rdma", [&] { apply_rdma(folder, resources.rdma); });
  with_context("resources.unified", [&] { apply_unified(folder, resources.unified); });
}

}  // namespace kata::cgroup
