// Wire contract with the guest agent: the container's specification, network types, volume statistics,
// health. Numbers and types are those of the published interface, stated here a second time.
#include "agent/csi.pb.h"
#include "agent/health.pb.h"
#include "agent/oci.pb.h"
#include "agent/types.pb.h"
#include "wire_test.h"

namespace kata::proto_wire {
namespace {

TEST(OciWireTest, CheckRequest) {
  using M = grpc::CheckRequest;
  Fields<M>().text(1, &M::service);
}

TEST(OciWireTest, HealthCheckResponse) {
  using M = grpc::HealthCheckResponse;
  Fields<M>().choice(1, &M::status);
}

TEST(OciWireTest, VersionCheckResponse) {
  using M = grpc::VersionCheckResponse;
  Fields<M>().text(1, &M::grpc_version).text(2, &M::agent_version);
}

TEST(OciWireTest, EnumsOfHealthProto) {
  EXPECT_EQ(number(grpc::HealthCheckResponse_ServingStatus_UNKNOWN), 0);
  EXPECT_EQ(number(grpc::HealthCheckResponse_ServingStatus_SERVING), 1);
  EXPECT_EQ(number(grpc::HealthCheckResponse_ServingStatus_NOT_SERVING), 2);
}

TEST(OciWireTest, Spec) {
  using M = grpc::Spec;
  Fields<M>()
      .text(1, &M::version)
      .sub<grpc::Process>(2, &M::process, &M::has_process)
      .sub<grpc::Root>(3, &M::root, &M::has_root)
      .text(4, &M::hostname)
      .subs<grpc::Mount>(5, &M::mounts)
      .sub<grpc::Hooks>(6, &M::hooks, &M::has_hooks)
      .text_map(7, &M::annotations)
      .sub<grpc::Linux>(8, &M::linux, &M::has_linux)
      .sub<grpc::Solaris>(9, &M::solaris, &M::has_solaris)
      .sub<grpc::Windows>(10, &M::windows, &M::has_windows);
}

TEST(OciWireTest, Process) {
  using M = grpc::Process;
  Fields<M>()
      .flag(1, &M::terminal)
      .sub<grpc::Box>(2, &M::consolesize, &M::has_consolesize)
      .sub<grpc::User>(3, &M::user, &M::has_user)
      .texts(4, &M::args)
      .texts(5, &M::env)
      .text(6, &M::cwd)
      .sub<grpc::LinuxCapabilities>(7, &M::capabilities, &M::has_capabilities)
      .subs<grpc::POSIXRlimit>(8, &M::rlimits)
      .flag(9, &M::nonewprivileges)
      .text(10, &M::apparmorprofile)
      .i64(11, &M::oomscoreadj)
      .text(12, &M::selinuxlabel);
}

TEST(OciWireTest, Box) {
  using M = grpc::Box;
  Fields<M>().u32(1, &M::height).u32(2, &M::width);
}

TEST(OciWireTest, User) {
  using M = grpc::User;
  Fields<M>().u32(1, &M::uid).u32(2, &M::gid).u32s(3, &M::additionalgids).text(4, &M::username);
}

TEST(OciWireTest, LinuxCapabilities) {
  using M = grpc::LinuxCapabilities;
  Fields<M>()
      .texts(1, &M::bounding)
      .texts(2, &M::effective)
      .texts(3, &M::inheritable)
      .texts(4, &M::permitted)
      .texts(5, &M::ambient);
}

TEST(OciWireTest, POSIXRlimit) {
  using M = grpc::POSIXRlimit;
  Fields<M>().text(1, &M::type).u64(2, &M::hard).u64(3, &M::soft);
}

TEST(OciWireTest, Mount) {
  using M = grpc::Mount;
  Fields<M>().text(1, &M::destination).text(2, &M::source).text(3, &M::type).texts(4, &M::options);
}

TEST(OciWireTest, Root) {
  using M = grpc::Root;
  Fields<M>().text(1, &M::path).flag(2, &M::readonly);
}

TEST(OciWireTest, Hooks) {
  using M = grpc::Hooks;
  Fields<M>()
      .subs<grpc::Hook>(1, &M::prestart)
      .subs<grpc::Hook>(2, &M::poststart)
      .subs<grpc::Hook>(3, &M::poststop)
      .subs<grpc::Hook>(4, &M::createruntime)
      .subs<grpc::Hook>(5, &M::createcontainer)
      .subs<grpc::Hook>(6, &M::startcontainer);
}

TEST(OciWireTest, Hook) {
  using M = grpc::Hook;
  Fields<M>().text(1, &M::path).texts(2, &M::args).texts(3, &M::env).i64(4, &M::timeout);
}

TEST(OciWireTest, Linux) {
  using M = grpc::Linux;
  Fields<M>()
      .subs<grpc::LinuxIDMapping>(1, &M::uidmappings)
      .subs<grpc::LinuxIDMapping>(2, &M::gidmappings)
      .text_map(3, &M::sysctl)
      .sub<grpc::LinuxResources>(4, &M::resources, &M::has_resources)
      .text(5, &M::cgroupspath)
      .subs<grpc::LinuxNamespace>(6, &M::namespaces)
      .subs<grpc::LinuxDevice>(7, &M::devices)
      .sub<grpc::LinuxSeccomp>(8, &M::seccomp, &M::has_seccomp)
      .text(9, &M::rootfspropagation)
      .texts(10, &M::maskedpaths)
      .texts(11, &M::readonlypaths)
      .text(12, &M::mountlabel)
      .sub<grpc::LinuxIntelRdt>(13, &M::intelrdt, &M::has_intelrdt);
}

TEST(OciWireTest, Windows) {
  using M = grpc::Windows;
  Fields<M>().text(1, &M::dummy);
}

TEST(OciWireTest, Solaris) {
  using M = grpc::Solaris;
  Fields<M>().text(1, &M::dummy);
}

TEST(OciWireTest, LinuxIDMapping) {
  using M = grpc::LinuxIDMapping;
  Fields<M>().u32(1, &M::hostid).u32(2, &M::containerid).u32(3, &M::size);
}

TEST(OciWireTest, LinuxNamespace) {
  using M = grpc::LinuxNamespace;
  Fields<M>().text(1, &M::type).text(2, &M::path);
}

TEST(OciWireTest, LinuxDevice) {
  using M = grpc::LinuxDevice;
  Fields<M>()
      .text(1, &M::path)
      .text(2, &M::type)
      .i64(3, &M::major)
      .i64(4, &M::minor)
      .u32(5, &M::filemode)
      .u32(6, &M::uid)
      .u32(7, &M::gid);
}

TEST(OciWireTest, LinuxResources) {
  using M = grpc::LinuxResources;
  Fields<M>()
      .subs<grpc::LinuxDeviceCgroup>(1, &M::devices)
      .sub<grpc::LinuxMemory>(2, &M::memory, &M::has_memory)
      .sub<grpc::LinuxCPU>(3, &M::cpu, &M::has_cpu)
      .sub<grpc::LinuxPids>(4, &M::pids, &M::has_pids)
      .sub<grpc::LinuxBlockIO>(5, &M::blockio, &M::has_blockio)
      .subs<grpc::LinuxHugepageLimit>(6, &M::hugepagelimits)
      .sub<grpc::LinuxNetwork>(7, &M::network, &M::has_network);
}

TEST(OciWireTest, LinuxMemory) {
  using M = grpc::LinuxMemory;
  Fields<M>()
      .i64(1, &M::limit)
      .i64(2, &M::reservation)
      .i64(3, &M::swap)
      .i64(4, &M::kernel)
      .i64(5, &M::kerneltcp)
      .u64(6, &M::swappiness)
      .flag(7, &M::disableoomkiller);
}

TEST(OciWireTest, LinuxCPU) {
  using M = grpc::LinuxCPU;
  Fields<M>()
      .u64(1, &M::shares)
      .i64(2, &M::quota)
      .u64(3, &M::period)
      .i64(4, &M::realtimeruntime)
      .u64(5, &M::realtimeperiod)
      .text(6, &M::cpus)
      .text(7, &M::mems);
}

TEST(OciWireTest, LinuxWeightDevice) {
  using M = grpc::LinuxWeightDevice;
  Fields<M>().i64(1, &M::major).i64(2, &M::minor).u32(3, &M::weight).u32(4, &M::leafweight);
}

TEST(OciWireTest, LinuxThrottleDevice) {
  using M = grpc::LinuxThrottleDevice;
  Fields<M>().i64(1, &M::major).i64(2, &M::minor).u64(3, &M::rate);
}

TEST(OciWireTest, LinuxBlockIO) {
  using M = grpc::LinuxBlockIO;
  Fields<M>()
      .u32(1, &M::weight)
      .u32(2, &M::leafweight)
      .subs<grpc::LinuxWeightDevice>(3, &M::weightdevice)
      .subs<grpc::LinuxThrottleDevice>(4, &M::throttlereadbpsdevice)
      .subs<grpc::LinuxThrottleDevice>(5, &M::throttlewritebpsdevice)
      .subs<grpc::LinuxThrottleDevice>(6, &M::throttlereadiopsdevice)
      .subs<grpc::LinuxThrottleDevice>(7, &M::throttlewriteiopsdevice);
}

TEST(OciWireTest, LinuxPids) {
  using M = grpc::LinuxPids;
  Fields<M>().i64(1, &M::limit);
}

TEST(OciWireTest, LinuxDeviceCgroup) {
  using M = grpc::LinuxDeviceCgroup;
  Fields<M>().flag(1, &M::allow).text(2, &M::type).i64(3, &M::major).i64(4, &M::minor).text(5, &M::access);
}

TEST(OciWireTest, LinuxNetwork) {
  using M = grpc::LinuxNetwork;
  Fields<M>().u32(1, &M::classid).subs<grpc::LinuxInterfacePriority>(2, &M::priorities);
}

TEST(OciWireTest, LinuxHugepageLimit) {
  using M = grpc::LinuxHugepageLimit;
  Fields<M>().text(1, &M::pagesize).u64(2, &M::limit);
}

TEST(OciWireTest, LinuxInterfacePriority) {
  using M = grpc::LinuxInterfacePriority;
  Fields<M>().text(1, &M::name).u32(2, &M::priority);
}

TEST(OciWireTest, LinuxSeccomp) {
  using M = grpc::LinuxSeccomp;
  Fields<M>()
      .text(1, &M::defaultaction)
      .texts(2, &M::architectures)
      .texts(3, &M::flags)
      .subs<grpc::LinuxSyscall>(4, &M::syscalls);
}

TEST(OciWireTest, LinuxSeccompArg) {
  using M = grpc::LinuxSeccompArg;
  Fields<M>().u64(1, &M::index).u64(2, &M::value).u64(3, &M::valuetwo).text(4, &M::op);
}

TEST(OciWireTest, LinuxSyscall) {
  using M = grpc::LinuxSyscall;
  Fields<M>()
      .texts(1, &M::names)
      .text(2, &M::action)
      .u32(3, &M::errnoret)
      .subs<grpc::LinuxSeccompArg>(4, &M::args);
}

TEST(OciWireTest, LinuxIntelRdt) {
  using M = grpc::LinuxIntelRdt;
  Fields<M>().text(1, &M::l3cacheschema);
}

TEST(OciWireTest, IPAddress) {
  using M = types::IPAddress;
  Fields<M>().choice(1, &M::family).text(2, &M::address).text(3, &M::mask);
}

TEST(OciWireTest, Interface) {
  using M = types::Interface;
  Fields<M>()
      .text(1, &M::device)
      .text(2, &M::name)
      .subs<types::IPAddress>(3, &M::ipaddresses)
      .u64(4, &M::mtu)
      .text(5, &M::hwaddr)
      .text(6, &M::devicepath)
      .text(7, &M::type)
      .u32(8, &M::raw_flags);
}

TEST(OciWireTest, Route) {
  using M = types::Route;
  Fields<M>()
      .text(1, &M::dest)
      .text(2, &M::gateway)
      .text(3, &M::device)
      .text(4, &M::source)
      .u32(5, &M::scope)
      .choice(6, &M::family)
      .u32(7, &M::flags)
      .u32(8, &M::mtu);
}

TEST(OciWireTest, ARPNeighbor) {
  using M = types::ARPNeighbor;
  Fields<M>()
      .sub<types::IPAddress>(1, &M::toipaddress, &M::has_toipaddress)
      .text(2, &M::device)
      .text(3, &M::lladdr)
      .i32(4, &M::state)
      .i32(5, &M::flags);
}

TEST(OciWireTest, EnumsOfTypesProto) {
  EXPECT_EQ(number(types::v4), 0);
  EXPECT_EQ(number(types::v6), 1);
  EXPECT_EQ(number(types::Always), 0);
  EXPECT_EQ(number(types::OnRootMismatch), 1);
}

TEST(OciWireTest, VolumeStatsResponse) {
  using M = grpc::VolumeStatsResponse;
  Fields<M>()
      .subs<grpc::VolumeUsage>(1, &M::usage)
      .sub<grpc::VolumeCondition>(2, &M::volume_condition, &M::has_volume_condition);
}

TEST(OciWireTest, VolumeUsage) {
  using M = grpc::VolumeUsage;
  Fields<M>().u64(1, &M::available).u64(2, &M::total).u64(3, &M::used).choice(4, &M::unit);
}

TEST(OciWireTest, VolumeCondition) {
  using M = grpc::VolumeCondition;
  Fields<M>().flag(1, &M::abnormal).text(2, &M::message);
}

TEST(OciWireTest, EnumsOfCsiProto) {
  EXPECT_EQ(number(grpc::VolumeUsage_Unit_UNKNOWN), 0);
  EXPECT_EQ(number(grpc::VolumeUsage_Unit_BYTES), 1);
  EXPECT_EQ(number(grpc::VolumeUsage_Unit_INODES), 2);
}

}  // namespace
}  // namespace kata::proto_wire
