// Wire contract with containerd: sandbox service, introspection, and the part of the CRI that reaches a shim.
// Numbers and types are those of the published interface, stated here a second time.
#include "containerd/cri.pb.h"
#include "containerd/events.pb.h"
#include "containerd/sandbox.pb.h"
#include "containerd/types/introspection.pb.h"
#include "wire_test.h"

namespace kata::proto_wire {
namespace {

TEST(SandboxWireTest, SandboxCreate) {
  using M = containerd::events::SandboxCreate;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, SandboxStart) {
  using M = containerd::events::SandboxStart;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, SandboxExit) {
  using M = containerd::events::SandboxExit;
  Fields<M>()
      .text(1, &M::sandbox_id)
      .u32(2, &M::exit_status)
      .sub<google::protobuf::Timestamp>(3, &M::exited_at, &M::has_exited_at);
}

TEST(SandboxWireTest, CreateSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::CreateSandboxRequest;
  Fields<M>()
      .text(1, &M::sandbox_id)
      .text(2, &M::bundle_path)
      .subs<containerd::types::Mount>(3, &M::rootfs)
      .sub<google::protobuf::Any>(4, &M::options, &M::has_options)
      .text(5, &M::netns_path)
      .text_map(6, &M::annotations);
}

TEST(SandboxWireTest, StartSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::StartSandboxRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, StartSandboxResponse) {
  using M = containerd::runtime::sandbox::v1::StartSandboxResponse;
  Fields<M>()
      .u32(1, &M::pid)
      .sub<google::protobuf::Timestamp>(2, &M::created_at, &M::has_created_at)
      .sub<google::protobuf::Any>(3, &M::spec, &M::has_spec);
}

TEST(SandboxWireTest, PlatformRequest) {
  using M = containerd::runtime::sandbox::v1::PlatformRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, PlatformResponse) {
  using M = containerd::runtime::sandbox::v1::PlatformResponse;
  Fields<M>().sub<containerd::types::Platform>(1, &M::platform, &M::has_platform);
}

TEST(SandboxWireTest, StopSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::StopSandboxRequest;
  Fields<M>().text(1, &M::sandbox_id).u32(2, &M::timeout_secs);
}

TEST(SandboxWireTest, UpdateSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::UpdateSandboxRequest;
  Fields<M>()
      .text(1, &M::sandbox_id)
      .sub<google::protobuf::Any>(2, &M::resources, &M::has_resources)
      .text_map(3, &M::annotations);
}

TEST(SandboxWireTest, WaitSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::WaitSandboxRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, WaitSandboxResponse) {
  using M = containerd::runtime::sandbox::v1::WaitSandboxResponse;
  Fields<M>().u32(1, &M::exit_status).sub<google::protobuf::Timestamp>(2, &M::exited_at, &M::has_exited_at);
}

TEST(SandboxWireTest, SandboxStatusRequest) {
  using M = containerd::runtime::sandbox::v1::SandboxStatusRequest;
  Fields<M>().text(1, &M::sandbox_id).flag(2, &M::verbose);
}

TEST(SandboxWireTest, SandboxStatusResponse) {
  using M = containerd::runtime::sandbox::v1::SandboxStatusResponse;
  Fields<M>()
      .text(1, &M::sandbox_id)
      .u32(2, &M::pid)
      .text(3, &M::state)
      .text_map(4, &M::info)
      .sub<google::protobuf::Timestamp>(5, &M::created_at, &M::has_created_at)
      .sub<google::protobuf::Timestamp>(6, &M::exited_at, &M::has_exited_at)
      .sub<google::protobuf::Any>(7, &M::extra, &M::has_extra);
}

TEST(SandboxWireTest, PingRequest) {
  using M = containerd::runtime::sandbox::v1::PingRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, ShutdownSandboxRequest) {
  using M = containerd::runtime::sandbox::v1::ShutdownSandboxRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, SandboxMetricsRequest) {
  using M = containerd::runtime::sandbox::v1::SandboxMetricsRequest;
  Fields<M>().text(1, &M::sandbox_id);
}

TEST(SandboxWireTest, SandboxMetricsResponse) {
  using M = containerd::runtime::sandbox::v1::SandboxMetricsResponse;
  Fields<M>().sub<containerd::types::Metric>(1, &M::metrics, &M::has_metrics);
}

TEST(SandboxWireTest, Platform) {
  using M = containerd::types::Platform;
  Fields<M>()
      .text(1, &M::os)
      .text(2, &M::architecture)
      .text(3, &M::variant)
      .text(4, &M::os_version)
      .texts(5, &M::os_features);
}

TEST(SandboxWireTest, Metric) {
  using M = containerd::types::Metric;
  Fields<M>()
      .sub<google::protobuf::Timestamp>(1, &M::timestamp, &M::has_timestamp)
      .text(2, &M::id)
      .sub<google::protobuf::Any>(3, &M::data, &M::has_data);
}

TEST(SandboxWireTest, RuntimeRequest) {
  using M = containerd::types::RuntimeRequest;
  Fields<M>().text(1, &M::runtime_path).sub<google::protobuf::Any>(2, &M::options, &M::has_options);
}

TEST(SandboxWireTest, RuntimeVersion) {
  using M = containerd::types::RuntimeVersion;
  Fields<M>().text(1, &M::version).text(2, &M::revision);
}

TEST(SandboxWireTest, RuntimeInfo) {
  using M = containerd::types::RuntimeInfo;
  Fields<M>()
      .text(1, &M::name)
      .sub<containerd::types::RuntimeVersion>(2, &M::version, &M::has_version)
      .sub<google::protobuf::Any>(3, &M::options, &M::has_options)
      .sub<google::protobuf::Any>(4, &M::features, &M::has_features)
      .text_map(5, &M::annotations);
}

TEST(SandboxWireTest, PodSandboxConfig) {
  using M = runtime::v1::PodSandboxConfig;
  Fields<M>()
      .sub<runtime::v1::PodSandboxMetadata>(1, &M::metadata, &M::has_metadata)
      .text(2, &M::hostname)
      .text(3, &M::log_directory)
      .sub<runtime::v1::DNSConfig>(4, &M::dns_config, &M::has_dns_config)
      .subs<runtime::v1::PortMapping>(5, &M::port_mappings)
      .text_map(6, &M::labels)
      .text_map(7, &M::annotations)
      .sub<runtime::v1::LinuxPodSandboxConfig>(8, &M::linux, &M::has_linux)
      .sub<runtime::v1::WindowsPodSandboxConfig>(9, &M::windows, &M::has_windows);
}

TEST(SandboxWireTest, PodSandboxMetadata) {
  using M = runtime::v1::PodSandboxMetadata;
  Fields<M>().text(1, &M::name).text(2, &M::uid).text(3, &M::namespace_).u32(4, &M::attempt);
}

TEST(SandboxWireTest, DNSConfig) {
  using M = runtime::v1::DNSConfig;
  Fields<M>().texts(1, &M::servers).texts(2, &M::searches).texts(3, &M::options);
}

TEST(SandboxWireTest, PortMapping) {
  using M = runtime::v1::PortMapping;
  Fields<M>().choice(1, &M::protocol).i32(2, &M::container_port).i32(3, &M::host_port).text(4, &M::host_ip);
}

TEST(SandboxWireTest, LinuxPodSandboxConfig) {
  using M = runtime::v1::LinuxPodSandboxConfig;
  Fields<M>()
      .text(1, &M::cgroup_parent)
      .sub<runtime::v1::LinuxSandboxSecurityContext>(2, &M::security_context, &M::has_security_context)
      .text_map(3, &M::sysctls)
      .sub<runtime::v1::LinuxContainerResources>(4, &M::overhead, &M::has_overhead)
      .sub<runtime::v1::LinuxContainerResources>(5, &M::resources, &M::has_resources);
}

TEST(SandboxWireTest, LinuxSandboxSecurityContext) {
  using M = runtime::v1::LinuxSandboxSecurityContext;
  Fields<M>()
      .sub<runtime::v1::NamespaceOption>(1, &M::namespace_options, &M::has_namespace_options)
      .sub<runtime::v1::SELinuxOption>(2, &M::selinux_options, &M::has_selinux_options)
      .sub<runtime::v1::Int64Value>(3, &M::run_as_user, &M::has_run_as_user)
      .flag(4, &M::readonly_rootfs)
      .i64s(5, &M::supplemental_groups)
      .flag(6, &M::privileged)
      .text(7, &M::seccomp_profile_path)
      .sub<runtime::v1::Int64Value>(8, &M::run_as_group, &M::has_run_as_group)
      .sub<runtime::v1::SecurityProfile>(9, &M::seccomp, &M::has_seccomp)
      .sub<runtime::v1::SecurityProfile>(10, &M::apparmor, &M::has_apparmor)
      .choice(11, &M::supplemental_groups_policy);
}

TEST(SandboxWireTest, LinuxContainerResources) {
  using M = runtime::v1::LinuxContainerResources;
  Fields<M>()
      .i64(1, &M::cpu_period)
      .i64(2, &M::cpu_quota)
      .i64(3, &M::cpu_shares)
      .i64(4, &M::memory_limit_in_bytes)
      .i64(5, &M::oom_score_adj)
      .text(6, &M::cpuset_cpus)
      .text(7, &M::cpuset_mems)
      .subs<runtime::v1::HugepageLimit>(8, &M::hugepage_limits)
      .text_map(9, &M::unified)
      .i64(10, &M::memory_swap_limit_in_bytes);
}

TEST(SandboxWireTest, NamespaceOption) {
  using M = runtime::v1::NamespaceOption;
  Fields<M>()
      .choice(1, &M::network)
      .choice(2, &M::pid)
      .choice(3, &M::ipc)
      .text(4, &M::target_id)
      .sub<runtime::v1::UserNamespace>(5, &M::userns_options, &M::has_userns_options);
}

TEST(SandboxWireTest, SELinuxOption) {
  using M = runtime::v1::SELinuxOption;
  Fields<M>().text(1, &M::user).text(2, &M::role).text(3, &M::type).text(4, &M::level);
}

TEST(SandboxWireTest, Int64Value) {
  using M = runtime::v1::Int64Value;
  Fields<M>().i64(1, &M::value);
}

TEST(SandboxWireTest, SecurityProfile) {
  using M = runtime::v1::SecurityProfile;
  Fields<M>().choice(1, &M::profile_type).text(2, &M::localhost_ref);
}

TEST(SandboxWireTest, HugepageLimit) {
  using M = runtime::v1::HugepageLimit;
  Fields<M>().text(1, &M::page_size).u64(2, &M::limit);
}

TEST(SandboxWireTest, WindowsNamespaceOption) {
  using M = runtime::v1::WindowsNamespaceOption;
  Fields<M>().choice(1, &M::network);
}

TEST(SandboxWireTest, UserNamespace) {
  using M = runtime::v1::UserNamespace;
  Fields<M>()
      .choice(1, &M::mode)
      .subs<runtime::v1::IDMapping>(2, &M::uids)
      .subs<runtime::v1::IDMapping>(3, &M::gids);
}

TEST(SandboxWireTest, IDMapping) {
  using M = runtime::v1::IDMapping;
  Fields<M>().u32(1, &M::host_id).u32(2, &M::container_id).u32(3, &M::length);
}

TEST(SandboxWireTest, EnumsOfRuntimeV) {
  EXPECT_EQ(number(runtime::v1::TCP), 0);
  EXPECT_EQ(number(runtime::v1::UDP), 1);
  EXPECT_EQ(number(runtime::v1::SCTP), 2);
  EXPECT_EQ(number(runtime::v1::Merge), 0);
  EXPECT_EQ(number(runtime::v1::Strict), 1);
  EXPECT_EQ(number(runtime::v1::POD), 0);
  EXPECT_EQ(number(runtime::v1::CONTAINER), 1);
  EXPECT_EQ(number(runtime::v1::NODE), 2);
  EXPECT_EQ(number(runtime::v1::TARGET), 3);
  EXPECT_EQ(number(runtime::v1::SecurityProfile_ProfileType_RuntimeDefault), 0);
  EXPECT_EQ(number(runtime::v1::SecurityProfile_ProfileType_Unconfined), 1);
  EXPECT_EQ(number(runtime::v1::SecurityProfile_ProfileType_Localhost), 2);
  EXPECT_EQ(number(runtime::v1::SANDBOX_READY), 0);
  EXPECT_EQ(number(runtime::v1::SANDBOX_NOTREADY), 1);
}

}  // namespace
}  // namespace kata::proto_wire
