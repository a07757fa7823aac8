#include "guest/rpc/stats_to_proto.h"

#include <vector>

namespace kata::rpc {
namespace {

void cpu(const cgroup::CpuStats& from, grpc::CpuStats& to) {
  grpc::CpuUsage& usage = *to.mutable_cpu_usage();
  usage.set_total_usage(from.total);
  usage.set_usage_in_kernelmode(from.kernel);
  usage.set_usage_in_usermode(from.user);
  for (const uint64_t value : from.per_cpu) usage.add_percpu_usage(value);
  grpc::ThrottlingData& throttling = *to.mutable_throttling_data();
  throttling.set_periods(from.periods);
  throttling.set_throttled_periods(from.throttled_periods);
  throttling.set_throttled_time(from.throttled_ns);
}

void usage(const cgroup::MemoryUsage& from, grpc::MemoryData& to) {
  to.set_usage(from.usage);
  to.set_max_usage(from.max_usage);
  to.set_failcnt(from.failures);
  to.set_limit(from.limit);
}

void memory(const cgroup::MemoryStats& from, grpc::MemoryStats& to) {
  to.set_cache(from.cache);
  usage(from.usage, *to.mutable_usage());
  usage(from.swap, *to.mutable_swap_usage());
  usage(from.kernel, *to.mutable_kernel_usage());
  to.set_use_hierarchy(from.use_hierarchy);
  for (const auto& [name, value] : from.detail) (*to.mutable_stats())[name] = value;
}

void entries(const std::vector<cgroup::BlockIoEntry>& from,
             google::protobuf::RepeatedPtrField<grpc::BlkioStatsEntry>& to) {
  for (const cgroup::BlockIoEntry& entry : from) {
    grpc::BlkioStatsEntry& added = *to.Add();
    added.set_major(entry.major);
    added.set_minor(entry.minor);
    added.set_op(entry.operation);
    added.set_value(entry.value);
  }
}

void block_io(const cgroup::BlockIoStats& from, grpc::BlkioStats& to) {
  entries(from.bytes, *to.mutable_io_service_bytes_recursive());
  entries(from.operations, *to.mutable_io_serviced_recursive());
  entries(from.queued, *to.mutable_io_queued_recursive());
  entries(from.service_time, *to.mutable_io_service_time_recursive());
  entries(from.wait_time, *to.mutable_io_wait_time_recursive());
  entries(from.merged, *to.mutable_io_merged_recursive());
  entries(from.time, *to.mutable_io_time_recursive());
  entries(from.sectors, *to.mutable_sectors_recursive());
}

}  // namespace

void stats_to_proto(const cgroup::Stats& from, grpc::CgroupStats& to) {
  cpu(from.cpu, *to.mutable_cpu_stats());
  memory(from.memory, *to.mutable_memory_stats());
  to.mutable_pids_stats()->set_current(from.pids.current);
  to.mutable_pids_stats()->set_limit(from.pids.limit);
  block_io(from.block_io, *to.mutable_blkio_stats());
  for (const auto& [size, stats] : from.hugetlb) {
    grpc::HugetlbStats& entry = (*to.mutable_hugetlb_stats())[size];
    entry.set_usage(stats.usage);
    entry.set_max_usage(stats.max_usage);
    entry.set_failcnt(stats.failures);
  }
}

}  // namespace kata::rpc
