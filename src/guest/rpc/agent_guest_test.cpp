// Calls about the guest as a whole and about what lies beside the containers' processes: good requests, and
// each bad one by its field.
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "guest/rpc/testing/agent_fixture.h"

namespace kata::rpc {
namespace {

class GuestTest : public AgentTest {};

TEST_F(GuestTest, VolumeFigures) {
  create_sandbox();
  grpc::VolumeStatsRequest request;
  request.set_volume_guest_path(rootfs());
  const auto answer = call<grpc::VolumeStatsResponse>("GetVolumeStats", request);
  ASSERT_TRUE(answer) << answer.error().message();
  ASSERT_EQ(answer->usage_size(), 2);
  EXPECT_EQ(answer->usage(0).unit(), grpc::VolumeUsage::BYTES);
  EXPECT_EQ(answer->usage(1).unit(), grpc::VolumeUsage::INODES);
  EXPECT_GT(answer->usage(0).total(), 0U);
  EXPECT_LE(answer->usage(0).used(), answer->usage(0).total());
  EXPECT_FALSE(answer->volume_condition().abnormal());
  EXPECT_EQ(answer->volume_condition().message(), "OK");
  request.set_volume_guest_path("/no/such/volume");
  expect("no such path", "GetVolumeStats", request, Code::kNotFound, "/no/such/volume");
  request.set_volume_guest_path("relative");
  expect("relative", "GetVolumeStats", request, Code::kInvalidArgument, "volume_guest_path");
}

TEST_F(GuestTest, TerminationLog) {
  create_sandbox();
  const std::string file = "/run/kata-containers/log-of-c1";
  {
    std::ofstream out(guest(file));
    ASSERT_TRUE(out.good());
  }
  auto request = shell("c1", "echo 'ended well' > /dev/termination-log");
  (*request.mutable_oci()->mutable_annotations())["io.kubernetes.container.terminationMessagePath"] =
      "/dev/termination-log";
  auto& mount = *request.mutable_oci()->add_mounts();
  mount.set_destination("/dev/termination-log");
  mount.set_source(file);
  mount.set_type("bind");
  mount.add_options("rbind");
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(wait("c1"), 0);
  grpc::GetDiagnosticDataRequest ask;
  ask.set_log_type("termination_log");
  ask.set_container_id("c1");
  const auto answer = call<grpc::GetDiagnosticDataResponse>("GetDiagnosticData", ask);
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->data(), "ended well\n");
  ask.set_log_type("coredump");
  expect("log type", "GetDiagnosticData", ask, Code::kInvalidArgument, "log_type");
  ask.set_log_type("termination_log");
  ask.set_container_id("nobody");
  expect("unknown container", "GetDiagnosticData", ask, Code::kNotFound, "nobody");
}

// CRI-O looks for the sign of an OOM kill when it learns of the exit, and not later.
TEST_F(GuestTest, OomEventOfAContainerComesBeforeItsExit) {
  create_sandbox();
  auto request = shell("c1", "read line; tail /dev/zero");
  request.mutable_oci()->mutable_linux()->mutable_resources()->mutable_memory()->set_limit(24 << 20);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  const auto event = begin("GetOOMEvent", "");
  grpc::WaitProcessRequest end;
  end.set_container_id("c1");
  const auto ended = begin("WaitProcess", end.SerializeAsString());
  grpc::WriteStreamRequest go;
  go.set_container_id("c1");
  go.set_data("\n");
  ASSERT_EQ(code_of("WriteStdin", go), Code::kOk) << last_error();
  ASSERT_TRUE(run_until([&] { return ended->has_value(); })) << "no end";
  ASSERT_TRUE(event->has_value()) << "no event";
  ASSERT_TRUE(event->value()) << event->value().error().message();
  grpc::OOMEvent answer;
  ASSERT_TRUE(answer.ParseFromString(*event->value()));
  EXPECT_EQ(answer.container_id(), "c1");
  ASSERT_TRUE(ended->value()) << ended->value().error().message();
  grpc::WaitProcessResponse status;
  ASSERT_TRUE(status.ParseFromString(*ended->value()));
  EXPECT_EQ(status.status(), 137);
}

TEST_F(GuestTest, PacketFilterRules) {
  if (::access("/usr/sbin/iptables-restore", X_OK) != 0 && ::access("/sbin/iptables-restore", X_OK) != 0)
    GTEST_SKIP() << "there is no iptables here";
  grpc::GetIPTablesRequest get;
  const auto before = call<grpc::GetIPTablesResponse>("GetIPTables", get);
  if (!before) GTEST_SKIP() << "iptables does not work here: " << before.error().message();
  grpc::SetIPTablesRequest set;
  set.set_data("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 4711 -j DROP\nCOMMIT\n");
  ASSERT_EQ(code_of("SetIPTables", set), Code::kOk) << last_error();
  const auto after = call<grpc::GetIPTablesResponse>("GetIPTables", get);
  ASSERT_TRUE(after) << after.error().message();
  EXPECT_NE(after->data().find("--dport 4711"), std::string::npos) << after->data();
  set.set_data("no rules at all\n");
  EXPECT_NE(code_of("SetIPTables", set), Code::kOk);
  EXPECT_EQ(code_of("Check", grpc::CheckRequest(), "grpc.Health"), Code::kOk);
}

TEST_F(GuestTest, ProcessorsAndMemory) {
  grpc::OnlineCPUMemRequest request;
  request.set_nb_cpus(1);
  request.set_cpu_only(true);
  EXPECT_EQ(code_of("OnlineCPUMem", request), Code::kOk) << last_error();
  request.set_nb_cpus(0);
  EXPECT_EQ(code_of("OnlineCPUMem", request), Code::kOk) << last_error();
  if (std::filesystem::exists("/sys/devices/system/memory/probe")) return;
  grpc::MemHotplugByProbeRequest probe;
  probe.add_memhotplugprobeaddr(0x100000000);
  EXPECT_NE(code_of("MemHotplugByProbe", probe), Code::kOk);
  EXPECT_NE(last_error().find("probe"), std::string::npos) << last_error();
}

TEST_F(GuestTest, ClockIsReadSetAndMoved) {
  using katacpp::agent::v1::AdjustClockRequest;
  using katacpp::agent::v1::AdjustClockResponse;
  AdjustClockRequest adjust;
  const auto now = [&] {
    adjust.set_nanos(0);
    const auto answer = call<AdjustClockResponse>("AdjustClock", adjust, kExtra);
    return answer ? answer->unix_nanos() : 0;
  };
  EXPECT_GT(now(), 0);
  if (vm_socket() == nullptr) GTEST_SKIP() << "setting the clock is for a guest: it would be this machine's";
  constexpr int64_t kSecond = 1'000'000'000;
  grpc::SetGuestDateTimeRequest set;
  set.set_sec(1'700'000'000);
  set.set_usec(500'000);
  ASSERT_EQ(code_of("SetGuestDateTime", set), Code::kOk) << last_error();
  EXPECT_NEAR(static_cast<double>(now()), 1'700'000'000.5 * kSecond, 2.0 * kSecond);
  for (const int64_t by : {100 * kSecond, -50 * kSecond}) {
    const int64_t before = now();
    adjust.set_nanos(by);
    ASSERT_EQ(code_of("AdjustClock", adjust, kExtra), Code::kOk) << last_error();
    EXPECT_NEAR(static_cast<double>(now() - before), static_cast<double>(by), 2.0 * kSecond);
  }
  // Little by little: no jump is seen.
  const int64_t before = now();
  adjust.set_nanos(-kSecond / 20);
  ASSERT_EQ(code_of("AdjustClock", adjust, kExtra), Code::kOk) << last_error();
  EXPECT_GT(now(), before);
}

TEST_F(GuestTest, Entropy) {
  grpc::ReseedRandomDevRequest request;
  request.set_data(std::string(64, 'r'));
  EXPECT_EQ(code_of("ReseedRandomDev", request), Code::kOk) << last_error();
  request.set_data("");
  expect("no data", "ReseedRandomDev", request, Code::kInvalidArgument, "data");
}

TEST_F(GuestTest, SwapThatIsNone) {
  grpc::AddSwapPathRequest path;
  path.set_path("/dev/no-such-swap");
  expect("no file", "AddSwapPath", path, Code::kNotFound, "/dev/no-such-swap");
  grpc::AddSwapRequest slots;
  slots.add_pcipath(32);
  expect("slot", "AddSwap", slots, Code::kInvalidArgument, "PCIPath");
}

TEST_F(GuestTest, MountsOfTheShareAreLookedAt) {
  create_sandbox();
  EXPECT_EQ(code_of("RemoveStaleVirtiofsShareMounts", grpc::RemoveStaleVirtiofsShareMountsRequest()),
            Code::kOk)
      << last_error();
}

TEST_F(GuestTest, OnlyEphemeralStoragesAreUpdated) {
  create_sandbox();
  grpc::UpdateEphemeralMountsRequest request;
  auto& storage = *request.add_storages();
  storage.set_driver("local");
  storage.set_mount_point("/run/kata-containers/sandbox/x");
  expect("driver", "UpdateEphemeralMounts", request, Code::kInvalidArgument, "local");
  storage.set_driver("ephemeral");
  storage.set_fstype("tmpfs");
  storage.set_source("tmpfs");
  storage.add_options("size=nothing");
  EXPECT_NE(code_of("UpdateEphemeralMounts", request), Code::kOk);
}

TEST_F(GuestTest, CallsThatChangeAContainerTakeOddNumbers) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  grpc::UpdateContainerRequest update;
  update.set_container_id("c1");
  auto& resources = *update.mutable_resources();
  // Negative is no limit, by contract.
  resources.mutable_memory()->set_limit(-1);
  resources.mutable_pids()->set_limit(-5);
  EXPECT_EQ(code_of("UpdateContainer", update), Code::kOk) << last_error();
  update.Clear();
  update.set_container_id("c1");
  update.mutable_resources()->mutable_cpu()->set_quota(1);
  EXPECT_NE(code_of("UpdateContainer", update), Code::kOk) << "the kernel wants 1000 microseconds at least";
  update.mutable_resources()->mutable_cpu()->Clear();
  update.mutable_resources()->mutable_cpu()->set_cpus("0-x");
  EXPECT_NE(code_of("UpdateContainer", update), Code::kOk);
  grpc::RemoveContainerRequest remove_request;
  remove_request.set_container_id("c1");
  remove_request.set_timeout(0xffffffffU);
  EXPECT_EQ(code_of("RemoveContainer", remove_request), Code::kOk) << last_error();
}

}  // namespace
}  // namespace kata::rpc
