// Wire contract with the guest agent: its service.
// Numbers and types are those of the published interface, stated here a second time.
#include "agent/agent.pb.h"
#include "wire_test.h"

namespace kata::proto_wire {
namespace {

TEST(AgentWireTest, CreateContainerRequest) {
  using M = grpc::CreateContainerRequest;
  Fields<M>()
      .text(1, &M::container_id)
      .text(2, &M::exec_id)
      .sub<grpc::StringUser>(3, &M::string_user, &M::has_string_user)
      .subs<grpc::Device>(4, &M::devices)
      .subs<grpc::Storage>(5, &M::storages)
      .sub<grpc::Spec>(6, &M::oci, &M::has_oci)
      .flag(7, &M::sandbox_pidns)
      .subs<grpc::SharedMount>(8, &M::shared_mounts)
      .u32(9, &M::stdin_port)
      .u32(10, &M::stdout_port)
      .u32(11, &M::stderr_port);
}

TEST(AgentWireTest, StartContainerRequest) {
  using M = grpc::StartContainerRequest;
  Fields<M>().text(1, &M::container_id);
}

TEST(AgentWireTest, RemoveContainerRequest) {
  using M = grpc::RemoveContainerRequest;
  Fields<M>().text(1, &M::container_id).u32(2, &M::timeout);
}

TEST(AgentWireTest, ExecProcessRequest) {
  using M = grpc::ExecProcessRequest;
  Fields<M>()
      .text(1, &M::container_id)
      .text(2, &M::exec_id)
      .sub<grpc::StringUser>(3, &M::string_user, &M::has_string_user)
      .sub<grpc::Process>(4, &M::process, &M::has_process)
      .u32(5, &M::stdin_port)
      .u32(6, &M::stdout_port)
      .u32(7, &M::stderr_port);
}

TEST(AgentWireTest, SignalProcessRequest) {
  using M = grpc::SignalProcessRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id).u32(3, &M::signal);
}

TEST(AgentWireTest, WaitProcessRequest) {
  using M = grpc::WaitProcessRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id);
}

TEST(AgentWireTest, WaitProcessResponse) {
  using M = grpc::WaitProcessResponse;
  Fields<M>().i32(1, &M::status);
}

TEST(AgentWireTest, UpdateContainerRequest) {
  using M = grpc::UpdateContainerRequest;
  Fields<M>().text(1, &M::container_id).sub<grpc::LinuxResources>(2, &M::resources, &M::has_resources);
}

TEST(AgentWireTest, StatsContainerRequest) {
  using M = grpc::StatsContainerRequest;
  Fields<M>().text(1, &M::container_id);
}

TEST(AgentWireTest, PauseContainerRequest) {
  using M = grpc::PauseContainerRequest;
  Fields<M>().text(1, &M::container_id);
}

TEST(AgentWireTest, ResumeContainerRequest) {
  using M = grpc::ResumeContainerRequest;
  Fields<M>().text(1, &M::container_id);
}

TEST(AgentWireTest, CpuUsage) {
  using M = grpc::CpuUsage;
  Fields<M>()
      .u64(1, &M::total_usage)
      .u64s(2, &M::percpu_usage)
      .u64(3, &M::usage_in_kernelmode)
      .u64(4, &M::usage_in_usermode);
}

TEST(AgentWireTest, ThrottlingData) {
  using M = grpc::ThrottlingData;
  Fields<M>().u64(1, &M::periods).u64(2, &M::throttled_periods).u64(3, &M::throttled_time);
}

TEST(AgentWireTest, CpuStats) {
  using M = grpc::CpuStats;
  Fields<M>()
      .sub<grpc::CpuUsage>(1, &M::cpu_usage, &M::has_cpu_usage)
      .sub<grpc::ThrottlingData>(2, &M::throttling_data, &M::has_throttling_data);
}

TEST(AgentWireTest, PidsStats) {
  using M = grpc::PidsStats;
  Fields<M>().u64(1, &M::current).u64(2, &M::limit);
}

TEST(AgentWireTest, MemoryData) {
  using M = grpc::MemoryData;
  Fields<M>().u64(1, &M::usage).u64(2, &M::max_usage).u64(3, &M::failcnt).u64(4, &M::limit);
}

TEST(AgentWireTest, MemoryStats) {
  using M = grpc::MemoryStats;
  Fields<M>()
      .u64(1, &M::cache)
      .sub<grpc::MemoryData>(2, &M::usage, &M::has_usage)
      .sub<grpc::MemoryData>(3, &M::swap_usage, &M::has_swap_usage)
      .sub<grpc::MemoryData>(4, &M::kernel_usage, &M::has_kernel_usage)
      .flag(5, &M::use_hierarchy)
      .u64_map(6, &M::stats);
}

TEST(AgentWireTest, BlkioStatsEntry) {
  using M = grpc::BlkioStatsEntry;
  Fields<M>().u64(1, &M::major).u64(2, &M::minor).text(3, &M::op).u64(4, &M::value);
}

TEST(AgentWireTest, BlkioStats) {
  using M = grpc::BlkioStats;
  Fields<M>()
      .subs<grpc::BlkioStatsEntry>(1, &M::io_service_bytes_recursive)
      .subs<grpc::BlkioStatsEntry>(2, &M::io_serviced_recursive)
      .subs<grpc::BlkioStatsEntry>(3, &M::io_queued_recursive)
      .subs<grpc::BlkioStatsEntry>(4, &M::io_service_time_recursive)
      .subs<grpc::BlkioStatsEntry>(5, &M::io_wait_time_recursive)
      .subs<grpc::BlkioStatsEntry>(6, &M::io_merged_recursive)
      .subs<grpc::BlkioStatsEntry>(7, &M::io_time_recursive)
      .subs<grpc::BlkioStatsEntry>(8, &M::sectors_recursive);
}

TEST(AgentWireTest, HugetlbStats) {
  using M = grpc::HugetlbStats;
  Fields<M>().u64(1, &M::usage).u64(2, &M::max_usage).u64(3, &M::failcnt);
}

TEST(AgentWireTest, CgroupStats) {
  using M = grpc::CgroupStats;
  Fields<M>()
      .sub<grpc::CpuStats>(1, &M::cpu_stats, &M::has_cpu_stats)
      .sub<grpc::MemoryStats>(2, &M::memory_stats, &M::has_memory_stats)
      .sub<grpc::PidsStats>(3, &M::pids_stats, &M::has_pids_stats)
      .sub<grpc::BlkioStats>(4, &M::blkio_stats, &M::has_blkio_stats)
      .sub_map(5, &M::hugetlb_stats);
}

TEST(AgentWireTest, NetworkStats) {
  using M = grpc::NetworkStats;
  Fields<M>()
      .text(1, &M::name)
      .u64(2, &M::rx_bytes)
      .u64(3, &M::rx_packets)
      .u64(4, &M::rx_errors)
      .u64(5, &M::rx_dropped)
      .u64(6, &M::tx_bytes)
      .u64(7, &M::tx_packets)
      .u64(8, &M::tx_errors)
      .u64(9, &M::tx_dropped);
}

TEST(AgentWireTest, StatsContainerResponse) {
  using M = grpc::StatsContainerResponse;
  Fields<M>()
      .sub<grpc::CgroupStats>(1, &M::cgroup_stats, &M::has_cgroup_stats)
      .subs<grpc::NetworkStats>(2, &M::network_stats);
}

TEST(AgentWireTest, WriteStreamRequest) {
  using M = grpc::WriteStreamRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id).text(3, &M::data);
}

TEST(AgentWireTest, WriteStreamResponse) {
  using M = grpc::WriteStreamResponse;
  Fields<M>().u32(1, &M::len);
}

TEST(AgentWireTest, ReadStreamRequest) {
  using M = grpc::ReadStreamRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id).u32(3, &M::len);
}

TEST(AgentWireTest, ReadStreamResponse) {
  using M = grpc::ReadStreamResponse;
  Fields<M>().text(1, &M::data);
}

TEST(AgentWireTest, CloseStdinRequest) {
  using M = grpc::CloseStdinRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id);
}

TEST(AgentWireTest, TtyWinResizeRequest) {
  using M = grpc::TtyWinResizeRequest;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id).u32(3, &M::row).u32(4, &M::column);
}

TEST(AgentWireTest, KernelModule) {
  using M = grpc::KernelModule;
  Fields<M>().text(1, &M::name).texts(2, &M::parameters);
}

TEST(AgentWireTest, CreateSandboxRequest) {
  using M = grpc::CreateSandboxRequest;
  Fields<M>()
      .text(1, &M::hostname)
      .texts(2, &M::dns)
      .subs<grpc::Storage>(3, &M::storages)
      .flag(4, &M::sandbox_pidns)
      .text(5, &M::sandbox_id)
      .text(6, &M::guest_hook_path)
      .subs<grpc::KernelModule>(7, &M::kernel_modules);
}

TEST(AgentWireTest, Interfaces) {
  using M = grpc::Interfaces;
  Fields<M>().subs<types::Interface>(1, &M::interfaces);
}

TEST(AgentWireTest, Routes) {
  using M = grpc::Routes;
  Fields<M>().subs<types::Route>(1, &M::routes);
}

TEST(AgentWireTest, UpdateInterfaceRequest) {
  using M = grpc::UpdateInterfaceRequest;
  Fields<M>().sub<types::Interface>(1, &M::interface, &M::has_interface);
}

TEST(AgentWireTest, UpdateRoutesRequest) {
  using M = grpc::UpdateRoutesRequest;
  Fields<M>().sub<grpc::Routes>(1, &M::routes, &M::has_routes);
}

TEST(AgentWireTest, UpdateEphemeralMountsRequest) {
  using M = grpc::UpdateEphemeralMountsRequest;
  Fields<M>().subs<grpc::Storage>(1, &M::storages);
}

TEST(AgentWireTest, ARPNeighbors) {
  using M = grpc::ARPNeighbors;
  Fields<M>().subs<types::ARPNeighbor>(1, &M::arpneighbors);
}

TEST(AgentWireTest, AddARPNeighborsRequest) {
  using M = grpc::AddARPNeighborsRequest;
  Fields<M>().sub<grpc::ARPNeighbors>(1, &M::neighbors, &M::has_neighbors);
}

TEST(AgentWireTest, GetIPTablesRequest) {
  using M = grpc::GetIPTablesRequest;
  Fields<M>().flag(1, &M::is_ipv6);
}

TEST(AgentWireTest, GetIPTablesResponse) {
  using M = grpc::GetIPTablesResponse;
  Fields<M>().text(1, &M::data);
}

TEST(AgentWireTest, SetIPTablesRequest) {
  using M = grpc::SetIPTablesRequest;
  Fields<M>().flag(1, &M::is_ipv6).text(2, &M::data);
}

TEST(AgentWireTest, SetIPTablesResponse) {
  using M = grpc::SetIPTablesResponse;
  Fields<M>().text(1, &M::data);
}

TEST(AgentWireTest, OnlineCPUMemRequest) {
  using M = grpc::OnlineCPUMemRequest;
  Fields<M>().flag(1, &M::wait).u32(2, &M::nb_cpus).flag(3, &M::cpu_only);
}

TEST(AgentWireTest, ReseedRandomDevRequest) {
  using M = grpc::ReseedRandomDevRequest;
  Fields<M>().text(2, &M::data);
}

TEST(AgentWireTest, AgentDetails) {
  using M = grpc::AgentDetails;
  Fields<M>()
      .text(1, &M::version)
      .flag(2, &M::init_daemon)
      .texts(3, &M::device_handlers)
      .texts(4, &M::storage_handlers)
      .flag(5, &M::supports_seccomp)
      .texts(6, &M::extra_features);
}

TEST(AgentWireTest, GuestDetailsRequest) {
  using M = grpc::GuestDetailsRequest;
  Fields<M>().flag(1, &M::mem_block_size).flag(2, &M::mem_hotplug_probe);
}

TEST(AgentWireTest, GuestDetailsResponse) {
  using M = grpc::GuestDetailsResponse;
  Fields<M>()
      .u64(1, &M::mem_block_size_bytes)
      .sub<grpc::AgentDetails>(2, &M::agent_details, &M::has_agent_details)
      .flag(3, &M::support_mem_hotplug_probe);
}

TEST(AgentWireTest, MemHotplugByProbeRequest) {
  using M = grpc::MemHotplugByProbeRequest;
  Fields<M>().u64s(1, &M::memhotplugprobeaddr);
}

TEST(AgentWireTest, SetGuestDateTimeRequest) {
  using M = grpc::SetGuestDateTimeRequest;
  Fields<M>().i64(1, &M::sec).i64(2, &M::usec);
}

TEST(AgentWireTest, FSGroup) {
  using M = grpc::FSGroup;
  Fields<M>().u32(2, &M::group_id).choice(3, &M::group_change_policy);
}

TEST(AgentWireTest, SharedMount) {
  using M = grpc::SharedMount;
  Fields<M>()
      .text(1, &M::name)
      .text(2, &M::src_ctr)
      .text(3, &M::src_path)
      .text(4, &M::dst_ctr)
      .text(5, &M::dst_path);
}

TEST(AgentWireTest, Storage) {
  using M = grpc::Storage;
  Fields<M>()
      .text(1, &M::driver)
      .texts(2, &M::driver_options)
      .text(3, &M::source)
      .text(4, &M::fstype)
      .texts(5, &M::options)
      .text(6, &M::mount_point)
      .sub<grpc::FSGroup>(7, &M::fs_group, &M::has_fs_group)
      .flag(8, &M::shared);
}

TEST(AgentWireTest, Device) {
  using M = grpc::Device;
  Fields<M>()
      .text(1, &M::id)
      .text(2, &M::type)
      .text(3, &M::vm_path)
      .text(4, &M::container_path)
      .texts(5, &M::options);
}

TEST(AgentWireTest, StringUser) {
  using M = grpc::StringUser;
  Fields<M>().text(1, &M::uid).text(2, &M::gid).texts(3, &M::additionalgids);
}

TEST(AgentWireTest, CopyFileRequest) {
  using M = grpc::CopyFileRequest;
  Fields<M>()
      .text(1, &M::path)
      .i64(2, &M::file_size)
      .u32(3, &M::file_mode)
      .u32(4, &M::dir_mode)
      .i32(5, &M::uid)
      .i32(6, &M::gid)
      .i64(7, &M::offset)
      .text(8, &M::data);
}

TEST(AgentWireTest, OOMEvent) {
  using M = grpc::OOMEvent;
  Fields<M>().text(1, &M::container_id);
}

TEST(AgentWireTest, AddSwapRequest) {
  using M = grpc::AddSwapRequest;
  Fields<M>().u32s(1, &M::pcipath);
}

TEST(AgentWireTest, AddSwapPathRequest) {
  using M = grpc::AddSwapPathRequest;
  Fields<M>().text(1, &M::path);
}

TEST(AgentWireTest, Metrics) {
  using M = grpc::Metrics;
  Fields<M>().text(1, &M::metrics);
}

TEST(AgentWireTest, VolumeStatsRequest) {
  using M = grpc::VolumeStatsRequest;
  Fields<M>().text(1, &M::volume_guest_path);
}

TEST(AgentWireTest, ResizeVolumeRequest) {
  using M = grpc::ResizeVolumeRequest;
  Fields<M>().text(1, &M::volume_guest_path).u64(2, &M::size);
}

TEST(AgentWireTest, SetPolicyRequest) {
  using M = grpc::SetPolicyRequest;
  Fields<M>().text(1, &M::policy);
}

TEST(AgentWireTest, GetDiagnosticDataRequest) {
  using M = grpc::GetDiagnosticDataRequest;
  Fields<M>().text(1, &M::log_type).text(2, &M::container_id);
}

TEST(AgentWireTest, GetDiagnosticDataResponse) {
  using M = grpc::GetDiagnosticDataResponse;
  Fields<M>().text(1, &M::data);
}

TEST(AgentWireTest, MemAgentMemcgConfig) {
  using M = grpc::MemAgentMemcgConfig;
  Fields<M>()
      .flag(1, &M::disabled)
      .flag(2, &M::swap)
      .u32(3, &M::swappiness_max)
      .u64(4, &M::period_secs)
      .u32(5, &M::period_psi_percent_limit)
      .u32(6, &M::eviction_psi_percent_limit)
      .u64(7, &M::eviction_run_aging_count_min);
}

TEST(AgentWireTest, MemAgentCompactConfig) {
  using M = grpc::MemAgentCompactConfig;
  Fields<M>()
      .flag(1, &M::disabled)
      .u64(2, &M::period_secs)
      .u32(3, &M::period_psi_percent_limit)
      .u32(4, &M::compact_psi_percent_limit)
      .i64(5, &M::compact_sec_max)
      .u32(6, &M::compact_order)
      .u64(7, &M::compact_threshold)
      .u64(8, &M::compact_force_times);
}

}  // namespace
}  // namespace kata::proto_wire
