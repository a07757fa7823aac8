// The main job through the agent's own API: sandbox, containers, processes, streams, figures, and nothing
// left.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "guest/rpc/testing/agent_fixture.h"

namespace kata::rpc {
namespace {

TEST_F(AgentTest, HealthAndVersion) {
  const auto check = call<grpc::HealthCheckResponse>("Check", grpc::CheckRequest(), "grpc.Health");
  ASSERT_TRUE(check) << check.error().message();
  EXPECT_EQ(check->status(), grpc::HealthCheckResponse::SERVING);
  const auto version = call<grpc::VersionCheckResponse>("Version", grpc::CheckRequest(), "grpc.Health");
  ASSERT_TRUE(version);
  EXPECT_EQ(version->grpc_version(), "0.0.1");
  EXPECT_EQ(version->agent_version(), KATA_VERSION);
}

TEST_F(AgentTest, GuestDetails) {
  grpc::GuestDetailsRequest request;
  request.set_mem_block_size(true);
  const auto details = call<grpc::GuestDetailsResponse>("GetGuestDetails", request);
  ASSERT_TRUE(details);
  EXPECT_EQ(details->agent_details().init_daemon(), vm_socket() != nullptr);
  EXPECT_TRUE(details->agent_details().supports_seccomp());
  EXPECT_GE(details->agent_details().storage_handlers_size(), 5);
}

TEST_F(AgentTest, MetricsCountTheirScrapes) {
  for (const char* count : {"kata_agent_scrape_count 1\n", "kata_agent_scrape_count 2\n"}) {
    const auto answer = call<grpc::Metrics>("GetMetrics", grpc::GetMetricsRequest());
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_NE(answer->metrics().find(count), std::string::npos) << answer->metrics().substr(0, 300);
    EXPECT_NE(answer->metrics().find("kata_guest_meminfo{item=\"mem_total\"} "), std::string::npos);
    EXPECT_NE(answer->metrics().find("kata_agent_proc_status{item=\"vmrss\"} "), std::string::npos);
  }
}

TEST_F(AgentTest, ResizeVolumeNamesWhatItCannot) {
  const auto resize = [&](const char* path) {
    grpc::ResizeVolumeRequest request;
    request.set_volume_guest_path(path);
    request.set_size(uint64_t{1} << 40);
    return code_of("ResizeVolume", request);
  };
  EXPECT_EQ(resize("relative"), Code::kInvalidArgument);
  EXPECT_EQ(resize(""), Code::kInvalidArgument);
  EXPECT_EQ(resize("/nonexistent"), Code::kNotFound);
  EXPECT_EQ(resize("/proc"), Code::kUnimplemented);
  EXPECT_NE(last_error().find("/proc"), std::string::npos) << last_error();
}

TEST_F(AgentTest, MainJob) {
  create_sandbox();
  const Residue before = residue();
  ASSERT_EQ(create_and_start(shell("c1", "echo out; echo err >&2; hostname; exit 3")), Code::kOk)
      << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "out\npod-host\n");
  EXPECT_EQ(read_all("ReadStderr", "c1", ""), "err\n");
  EXPECT_EQ(wait("c1"), 3);
  // Forgotten after the wait, the container itself is still there.
  EXPECT_EQ(wait("c1"), -static_cast<int>(Code::kNotFound));
  EXPECT_EQ(signal("c1", "", SIGTERM), Code::kNotFound);
  EXPECT_NE(last_error().find("Process not found"), std::string::npos);
  EXPECT_EQ(signal("c1", "", SIGKILL), Code::kOk) << last_error();
  EXPECT_EQ(remove("c1"), Code::kOk);
  EXPECT_EQ(remove("c1"), Code::kNotFound);
  expect_residue(before, "after");
}

TEST_F(AgentTest, InitIsAlsoNamedByTheContainersId) {
  create_sandbox();
  auto request = shell("c1", "echo x");
  request.set_exec_id("c1");
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", "c1"), "x\n");
  EXPECT_EQ(wait("c1", "c1"), 0);
}

TEST_F(AgentTest, StdinAndItsEnd) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"cat"})), Code::kOk) << last_error();
  grpc::WriteStreamRequest write;
  write.set_container_id("c1");
  write.set_data("hello\n");
  const auto written = call<grpc::WriteStreamResponse>("WriteStdin", write);
  ASSERT_TRUE(written) << written.error().message();
  EXPECT_EQ(written->len(), 6U);
  grpc::CloseStdinRequest close;
  close.set_container_id("c1");
  EXPECT_EQ(code_of("CloseStdin", close), Code::kOk);
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "hello\n");
  EXPECT_EQ(wait("c1"), 0);
}

TEST_F(AgentTest, ManyWaitersGetTheCode) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  grpc::WaitProcessRequest request;
  request.set_container_id("c1");
  const auto first = begin("WaitProcess", request.SerializeAsString());
  const auto second = begin("WaitProcess", request.SerializeAsString());
  EXPECT_EQ(signal("c1", "", 0), Code::kOk);
  EXPECT_EQ(signal("c1", "", SIGKILL), Code::kOk) << last_error();
  ASSERT_TRUE(run_until([&] { return first->has_value() && second->has_value(); }));
  for (const auto& slot : {first, second}) {
    ASSERT_TRUE(slot->value().has_value()) << slot->value().error().message();
    grpc::WaitProcessResponse response;
    ASSERT_TRUE(response.ParseFromString(slot->value().value()));
    EXPECT_EQ(response.status(), 128 + SIGKILL);
  }
}

TEST_F(AgentTest, SigtermToAnInitWithoutHandlerKills) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  EXPECT_EQ(signal("c1", "", SIGTERM), Code::kOk);
  EXPECT_EQ(wait("c1"), 128 + SIGKILL);
}

TEST_F(AgentTest, ExecBesideInit) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  ASSERT_EQ(exec("c1", "e1", {"sh", "-c", "echo from-exec; exit 7"}), Code::kOk) << last_error();
  EXPECT_EQ(exec("c1", "e1", {"true"}), Code::kAlreadyExists);
  EXPECT_EQ(exec("c1", "c1", {"true"}), Code::kAlreadyExists);
  EXPECT_EQ(read_all("ReadStdout", "c1", "e1"), "from-exec\n");
  EXPECT_EQ(wait("c1", "e1"), 7);
  EXPECT_EQ(signal("c1", "e1", SIGKILL), Code::kNotFound);
  ASSERT_EQ(exec("c1", "e1", {"true"}), Code::kOk) << last_error();
  EXPECT_EQ(wait("c1", "e1"), 0);
  EXPECT_EQ(exec("c1", "e2", {"no-such-program"}), Code::kNotFound);
  EXPECT_NE(last_error().find("no-such-program"), std::string::npos) << last_error();
  EXPECT_EQ(exec("none", "e1", {"true"}), Code::kNotFound);
}

TEST_F(AgentTest, TerminalAndItsSize) {
  create_sandbox();
  auto request = shell("c1", "stty size; cat");
  request.mutable_oci()->mutable_process()->set_terminal(true);
  request.mutable_oci()->mutable_process()->mutable_consolesize()->set_height(30);
  request.mutable_oci()->mutable_process()->mutable_consolesize()->set_width(90);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  grpc::TtyWinResizeRequest resize;
  resize.set_container_id("c1");
  resize.set_row(40);
  resize.set_column(100);
  EXPECT_EQ(code_of("TtyWinResize", resize), Code::kOk) << last_error();
  resize.set_row(70000);
  EXPECT_EQ(code_of("TtyWinResize", resize), Code::kInvalidArgument);
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  read.set_len(4096);
  std::string out;
  while (out.find("\r\n") == std::string::npos) {
    const auto part = call<grpc::ReadStreamResponse>("ReadStdout", read);
    ASSERT_TRUE(part && !part->data().empty()) << out;
    out += part->data();
  }
  EXPECT_EQ(signal("c1", "", SIGKILL), Code::kOk);
  ASSERT_EQ(wait("c1"), 128 + SIGKILL);
  ASSERT_EQ(create_and_start(container("c2", {"sleep", "9"})), Code::kOk);
  resize.set_container_id("c2");
  resize.set_row(1);
  EXPECT_EQ(code_of("TtyWinResize", resize), Code::kUnavailable);
}

TEST_F(AgentTest, SharedNamespacesOfThePod) {
  create_sandbox();
  auto one = shell("c1", "for n in uts ipc pid; do readlink /proc/self/ns/$n; done; sleep 100");
  one.set_sandbox_pidns(true);
  auto two = shell("c2", "for n in uts ipc pid; do readlink /proc/self/ns/$n; done");
  two.set_sandbox_pidns(true);
  auto three = shell("c3", "for n in uts ipc pid; do readlink /proc/self/ns/$n; done");
  ASSERT_EQ(create_and_start(one), Code::kOk) << last_error();
  ASSERT_EQ(create_and_start(two), Code::kOk) << last_error();
  ASSERT_EQ(create_and_start(three), Code::kOk) << last_error();
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  read.set_len(4096);
  const auto first = call<grpc::ReadStreamResponse>("ReadStdout", read);
  ASSERT_TRUE(first);
  std::string names = first->data();
  // The three lines may come in pieces.
  while (std::ranges::count(names, '\n') < 3)
    names += call<grpc::ReadStreamResponse>("ReadStdout", read)->data();
  EXPECT_EQ(read_all("ReadStdout", "c2", ""), names);
  const std::string other = read_all("ReadStdout", "c3", "");
  EXPECT_EQ(other.substr(0, other.find("pid:")), names.substr(0, names.find("pid:")));
  EXPECT_NE(other, names);
}

TEST_F(AgentTest, SharedProcessesOutliveEachContainer) {
  create_sandbox();
  const std::string look = "readlink /proc/self/ns/pid; cat /proc/1/comm; ls -A /proc/1/root/ | wc -l";
  auto one = shell("c1", look);
  // Even who may trace everything sees none of the guest's files there.
  for (auto* set : {one.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_bounding(),
                    one.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_permitted(),
                    one.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_effective()})
    *set->Add() = "CAP_SYS_PTRACE";
  one.set_sandbox_pidns(true);
  ASSERT_EQ(create_and_start(one), Code::kOk) << last_error();
  const std::string seen = read_all("ReadStdout", "c1", "");
  EXPECT_TRUE(seen.ends_with("\npause\n0\n")) << seen;
  EXPECT_EQ(wait("c1"), 0);
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  auto two = shell("c1", look);
  *two.mutable_oci()->mutable_process()->mutable_capabilities() = one.oci().process().capabilities();
  two.set_sandbox_pidns(true);
  ASSERT_EQ(create_and_start(two), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), seen);
  EXPECT_EQ(wait("c1"), 0);
  // An orphan is reaped by the holder.
  auto three =
      shell("c2", "p=$(sh -c 'true > /dev/null & echo $!'); while test -d /proc/$p; do :; done; echo reaped");
  three.set_sandbox_pidns(true);
  ASSERT_EQ(create_and_start(three), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c2", ""), "reaped\n");
  EXPECT_EQ(wait("c2"), 0);
}

TEST_F(AgentTest, PauseResumeUpdateStats) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  grpc::PauseContainerRequest pause;
  pause.set_container_id("c1");
  grpc::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  EXPECT_EQ(code_of("ResumeContainer", resume), Code::kFailedPrecondition);
  EXPECT_EQ(code_of("PauseContainer", pause), Code::kOk) << last_error();
  EXPECT_EQ(code_of("PauseContainer", pause), Code::kFailedPrecondition);
  EXPECT_EQ(code_of("ResumeContainer", resume), Code::kOk) << last_error();
  grpc::StatsContainerRequest stats;
  stats.set_container_id("c1");
  const auto figures = call<grpc::StatsContainerResponse>("StatsContainer", stats);
  ASSERT_TRUE(figures) << figures.error().message();
  EXPECT_GE(figures->cgroup_stats().pids_stats().current(), 1U);
  grpc::UpdateContainerRequest update;
  update.set_container_id("c1");
  update.mutable_resources()->mutable_pids()->set_limit(50);
  EXPECT_EQ(code_of("UpdateContainer", update), Code::kOk) << last_error();
  const auto later = call<grpc::StatsContainerResponse>("StatsContainer", stats);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->cgroup_stats().pids_stats().limit(), 50U);
}

TEST_F(AgentTest, ProcessListAndBootTimes) {
  create_sandbox();
  ASSERT_EQ(create_and_start(shell("c1", "sleep 100 & sleep 100 & wait")), Code::kOk) << last_error();
  katacpp::agent::v1::ListProcessesRequest request;
  request.set_container_id("c1");
  using List = katacpp::agent::v1::ListProcessesResponse;
  int count = 0;
  for (int i = 0; i < 100 && count < 3; ++i) {
    const auto list = call<List>("ListProcesses", request, kExtra);
    ASSERT_TRUE(list) << list.error().message();
    count = list->processes_size();
  }
  EXPECT_EQ(count, 3);
  const auto times = call<katacpp::agent::v1::BootTimesResponse>(
      "BootTimes", katacpp::agent::v1::BootTimesRequest(), kExtra);
  ASSERT_TRUE(times);
  EXPECT_GT(times->listening(), times->agent_started());
}

TEST_F(AgentTest, TheEndIsToldAndTheOutputStays) {
  create_sandbox();
  ASSERT_EQ(create_and_start(shell("c1", "head -c 20000 /dev/zero; exit 7")), Code::kOk) << last_error();
  katacpp::agent::v1::WaitExitRequest request;
  request.set_container_id("c1");
  using Exit = katacpp::agent::v1::WaitExitResponse;
  for (int i = 0; i < 2; ++i) {
    const auto exit = call<Exit>("WaitExit", request, kExtra);
    ASSERT_TRUE(exit) << exit.error().message();
    EXPECT_EQ(exit->status(), 7);
    EXPECT_GT(exit->exited_at_unix_nanos(), 0U);
    EXPECT_LT(exit->nanos_since_exit(), 60'000'000'000U);
  }
  EXPECT_EQ(read_all("ReadStdout", "c1", "").size(), 20000U);
  EXPECT_EQ(wait("c1"), 7);
  EXPECT_EQ(code_of("WaitExit", request, kExtra), Code::kNotFound);
}

TEST_F(AgentTest, ExtrasReachTheContainer) {
  create_sandbox();
  katacpp::agent::v1::SetSpecExtrasRequest extras;
  extras.set_container_id("c1");
  extras.set_json(
      R"({"ociVersion":"1.1.0","process":{"cwd":"/","args":["x"],"user":{"uid":0,"gid":0,"umask":63}}})");
  ASSERT_EQ(code_of("SetSpecExtras", extras, kExtra), Code::kOk) << last_error();
  ASSERT_EQ(create_and_start(shell("c1", "umask")), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "0077\n");
  extras.set_json("{");
  EXPECT_EQ(code_of("SetSpecExtras", extras, kExtra), Code::kInvalidArgument);
}

TEST_F(AgentTest, DnsHostnameAndSecondSandbox) {
  grpc::CreateSandboxRequest request;
  request.set_sandbox_id("pod1");
  request.add_dns("nameserver 10.1.2.3");
  ASSERT_EQ(code_of("CreateSandbox", request), Code::kOk) << last_error();
  std::ifstream file(guest("/run/kata-containers/sandbox/resolv.conf"));
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "nameserver 10.1.2.3");
  EXPECT_EQ(code_of("CreateSandbox", request), Code::kAlreadyExists);
}

TEST_F(AgentTest, StoragesAreCountedAndGivenBack) {
  grpc::CreateSandboxRequest sandbox;
  sandbox.set_sandbox_id("pod1");
  auto& shm = *sandbox.add_storages();
  shm.set_driver("ephemeral");
  shm.set_source("shm");
  shm.set_fstype("tmpfs");
  shm.set_mount_point("/run/kata-containers/sandbox/shm");
  for (const char* option : {"noexec", "nosuid", "nodev", "mode=1777", "size=1048576"})
    shm.add_options(option);
  ASSERT_EQ(code_of("CreateSandbox", sandbox), Code::kOk) << last_error();
  const Residue before = residue();
  for (const char* id : {"c1", "c2"}) {
    auto request = shell(id, "echo " + std::string(id) + " >> /data/file; cat /data/file");
    auto& storage = *request.add_storages();
    storage.set_driver("ephemeral");
    storage.set_source("tmpfs");
    storage.set_fstype("tmpfs");
    storage.set_mount_point("/run/kata-containers/sandbox/ephemeral/data");
    auto& mount = *request.mutable_oci()->add_mounts();
    mount.set_destination("/data");
    mount.set_source("/run/kata-containers/sandbox/ephemeral/data");
    mount.set_type("bind");
    mount.add_options("rbind");
    ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
    EXPECT_EQ(read_all("ReadStdout", id, ""), std::string(id) == "c1" ? "c1\n" : "c1\nc2\n");
    EXPECT_EQ(wait(id), 0);
  }
  EXPECT_EQ(remove("c1"), Code::kOk);
  std::ifstream file(guest("/run/kata-containers/sandbox/ephemeral/data/file"));
  EXPECT_TRUE(file.good());
  EXPECT_EQ(remove("c2"), Code::kOk);
  expect_residue(before, "after");
}

TEST_F(AgentTest, DestroyGivesEverythingBackAndEnds) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  const auto oom = begin("GetOOMEvent", "");
  EXPECT_EQ(code_of("DestroySandbox", grpc::DestroySandboxRequest()), Code::kOk) << last_error();
  ASSERT_TRUE(run_until([&] { return oom->has_value(); }));
  EXPECT_FALSE(oom->value().has_value());
  EXPECT_TRUE(run_until([this] { return log().find("sandbox destroyed") != std::string::npos; }));
}

// Kubelet's way: a folder of a new name, then one rename.
void publish(const std::string& folder, const std::string& version, const std::string& value) {
  namespace fs = std::filesystem;
  fs::create_directories(folder + "/.." + version);
  std::ofstream(folder + "/.." + version + "/key") << value;
  fs::create_symlink(".." + version, folder + "/..tmp");
  fs::rename(folder + "/..tmp", folder + "/..data");
  if (!fs::is_symlink(folder + "/key")) fs::create_symlink("..data/key", folder + "/key");
}

TEST_F(AgentTest, WatchedFolderFollowsItsSource) {
  if (vm_socket() != nullptr) GTEST_SKIP() << "works in the agent's own folders";
  create_sandbox();
  const std::string share = "/run/kata-containers/shared/containers";
  std::filesystem::create_directories(guest(share));
  const Residue before = residue();
  const std::string source = share + "/passthrough/config";
  const std::string place = share + "/watchable/config";
  publish(guest(source), "1", "one");
  auto request = shell("c1",
                       "while :; do v=$(cat /config/key) || exit 9; [ $v = two ] && break; done; echo $v; ls "
                       "-a /config | wc -l");
  auto& storage = *request.add_storages();
  storage.set_driver("watchable-bind");
  storage.set_source(source);
  storage.set_fstype("bind");
  storage.set_mount_point(place);
  auto& mount = *request.mutable_oci()->add_mounts();
  mount.set_destination("/config");
  mount.set_source(place);
  mount.set_type("bind");
  mount.add_options("rbind");
  mount.add_options("ro");
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  const auto start = std::chrono::steady_clock::now();
  publish(guest(source), "2", "two");
  std::filesystem::remove_all(guest(source) + "/..1");
  // ".", "..", "..data", "..2", "key": the old version is gone at the latest with the next look.
  const std::string out = read_all("ReadStdout", "c1", "");
  EXPECT_TRUE(out.starts_with("two\n")) << out;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(wait("c1"), 0);
  EXPECT_EQ(remove("c1"), Code::kOk);
  std::filesystem::remove_all(guest(source));
  std::filesystem::remove(guest(share + "/passthrough"));
  expect_residue(before, "after");
  storage.set_mount_point(share + "/elsewhere/config");
  EXPECT_EQ(code_of("CreateContainer", request), Code::kInvalidArgument);
}

TEST_F(AgentTest, LargeWatchedFoldersAreBound) {
  if (vm_socket() != nullptr) GTEST_SKIP() << "works in the agent's own folders";
  create_sandbox();
  const std::string share = "/run/kata-containers/shared/containers";
  const std::string source = share + "/passthrough/many";
  std::filesystem::create_directories(guest(source));
  for (int i = 0; i < 17; ++i) std::ofstream(guest(source) + "/" + std::to_string(i)) << i;
  auto request = shell("c1", "grep -c 'many' /proc/self/mountinfo; cat /many/16");
  auto& storage = *request.add_storages();
  storage.set_driver("watchable-bind");
  storage.set_source(source);
  storage.set_mount_point(share + "/watchable/many");
  auto& mount = *request.mutable_oci()->add_mounts();
  mount.set_destination("/many");
  mount.set_source(share + "/watchable/many");
  mount.set_type("bind");
  mount.add_options("rbind");
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "1\n16");
  EXPECT_EQ(wait("c1"), 0);
}

TEST_F(AgentTest, SharedMountsComeFromTheNamedContainer) {
  create_sandbox();
  auto first = container("c1", {"sleep", "100"});
  (*first.mutable_oci()->mutable_annotations())["io.kubernetes.cri.container-name"] = "producer";
  auto& data = *first.mutable_oci()->add_mounts();
  data.set_destination("/run");
  data.set_type("tmpfs");
  data.set_source("tmpfs");
  ASSERT_EQ(create_and_start(first), Code::kOk) << last_error();
  ASSERT_EQ(exec("c1", "e1", {"sh", "-c", "echo shared > /run/file"}), Code::kOk) << last_error();
  EXPECT_EQ(wait("c1", "e1"), 0);
  auto second = container("c2", {"cat", "/tmp/file"});
  auto& shared = *second.add_shared_mounts();
  shared.set_name("data");
  shared.set_src_ctr("producer");
  shared.set_src_path("/run");
  shared.set_dst_path("/tmp");
  auto& unknown = *second.add_shared_mounts();
  unknown.set_src_ctr("nobody");
  unknown.set_src_path("/run");
  unknown.set_dst_path("/root");
  ASSERT_EQ(create_and_start(second), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c2", ""), "shared\n");
  EXPECT_EQ(wait("c2"), 0);
  const Residue before = residue();
  auto third = container("c3", {"true"});
  auto& bad = *third.add_shared_mounts();
  bad.set_src_ctr("producer");
  bad.set_src_path("/run");
  bad.set_dst_path("/nonexistent/place");
  EXPECT_EQ(code_of("CreateContainer", third), Code::kNotFound) << last_error();
  EXPECT_NE(last_error().find("/nonexistent/place"), std::string::npos) << last_error();
  expect_residue(before, "after a failed shared mount");
}

}  // namespace
}  // namespace kata::rpc
