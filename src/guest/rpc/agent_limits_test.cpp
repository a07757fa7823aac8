// Limits of containers, proved by what they do to the container. On the test machine with its cgroup v1
// hierarchies, and by tests/guest/run in a VM, with v2.
#include <chrono>

#include "guest/rpc/testing/agent_fixture.h"

namespace kata::rpc {
namespace {

class CgroupTest : public AgentTest {
 protected:
  static grpc::LinuxResources& resources(grpc::CreateContainerRequest& request) {
    return *request.mutable_oci()->mutable_linux()->mutable_resources();
  }
  grpc::CgroupStats stats(const std::string& id) {
    grpc::StatsContainerRequest request;
    request.set_container_id(id);
    const auto answer = call<grpc::StatsContainerResponse>("StatsContainer", request);
    EXPECT_TRUE(answer) << answer.error().message();
    return answer ? answer->cgroup_stats() : grpc::CgroupStats();
  }
  std::string output_of(const grpc::CreateContainerRequest& request) {
    if (create_and_start(request) != Code::kOk) return last_error();
    return read_all("ReadStdout", request.container_id(), "");
  }
};

TEST_F(CgroupTest, TheProcessorIsThrottled) {
  create_sandbox();
  auto request = shell("c1", "while :; do :; done");
  resources(request).mutable_cpu()->set_quota(10'000);
  resources(request).mutable_cpu()->set_period(100'000);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  // Each look is a call of the agent.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  grpc::CgroupStats seen = stats("c1");
  while (seen.cpu_stats().throttling_data().throttled_periods() < 3 && std::chrono::steady_clock::now() < end)
    seen = stats("c1");
  EXPECT_GE(seen.cpu_stats().throttling_data().throttled_periods(), 3U);
  EXPECT_GT(seen.cpu_stats().throttling_data().throttled_time(), 0U);
  EXPECT_GT(seen.cpu_stats().cpu_usage().total_usage(), 0U);
}

TEST_F(CgroupTest, MemoryEndsAtTheLimit) {
  create_sandbox();
  auto request =
      shell("c1", "head -c 8000000 /dev/zero | tail -c 8000000 | wc -c; tail /dev/zero; echo survived");
  resources(request).mutable_memory()->set_limit(32 << 20);
  // The shell lives on where only the process that takes too much is killed.
  const std::string out = output_of(request);
  EXPECT_EQ(out.substr(0, 8), "8000000\n") << out;
  const auto event = begin("GetOOMEvent", "");
  ASSERT_TRUE(run_until([&] { return event->has_value(); }));
  ASSERT_TRUE(event->value()) << event->value().error().message();
}

TEST_F(CgroupTest, MemoryFigures) {
  create_sandbox();
  auto request = container("c1", {"sleep", "100"});
  resources(request).mutable_memory()->set_limit(48 << 20);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  const grpc::CgroupStats seen = stats("c1");
  EXPECT_EQ(seen.memory_stats().usage().limit(), 48U << 20);
  EXPECT_GT(seen.memory_stats().usage().usage(), 0U);
  EXPECT_GE(seen.pids_stats().current(), 1U);
}

TEST_F(CgroupTest, ForkFailsAtTheLimit) {
  create_sandbox();
  auto request = shell("c1", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; echo all");
  resources(request).mutable_pids()->set_limit(6);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "");
  const std::string error = read_all("ReadStderr", "c1", "");
  EXPECT_NE(error.find("Resource temporarily unavailable"), std::string::npos) << error;
  EXPECT_NE(wait("c1"), 0);
}

TEST_F(CgroupTest, DevicesThatAreNotAllowed) {
  create_sandbox();
  auto request = shell("c1", "mknod /dev/kmsg2 c 1 11; head -c 1 /dev/kmsg2; head -c 3 /dev/zero | wc -c");
  for (auto* set : {request.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_bounding(),
                    request.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_effective(),
                    request.mutable_oci()->mutable_process()->mutable_capabilities()->mutable_permitted()}) {
    *set->Add() = "CAP_MKNOD";
    *set->Add() = "CAP_SYSLOG";
  }
  auto& deny = *resources(request).add_devices();
  deny.set_allow(false);
  deny.set_type("a");
  deny.set_access("rwm");
  EXPECT_EQ(output_of(request), "3\n");
  const std::string error = read_all("ReadStderr", "c1", "");
  EXPECT_NE(error.find("Operation not permitted"), std::string::npos) << error;
}

TEST_F(CgroupTest, PausedMeansStopped) {
  create_sandbox();
  ASSERT_EQ(create_and_start(shell("c1", "while read line; do echo $line; done")), Code::kOk) << last_error();
  grpc::PauseContainerRequest pause;
  pause.set_container_id("c1");
  ASSERT_EQ(code_of("PauseContainer", pause), Code::kOk) << last_error();
  grpc::WriteStreamRequest write;
  write.set_container_id("c1");
  write.set_data("hello\n");
  ASSERT_EQ(code_of("WriteStdin", write), Code::kOk) << last_error();
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  read.set_len(100);
  const auto line = begin("ReadStdout", read.SerializeAsString());
  const uint64_t used = stats("c1").cpu_stats().cpu_usage().total_usage();
  for (int i = 0; i < 50; ++i) (void)code_of("Check", grpc::CheckRequest(), "grpc.Health");
  EXPECT_FALSE(line->has_value());
  EXPECT_EQ(stats("c1").cpu_stats().cpu_usage().total_usage(), used);
  grpc::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  ASSERT_EQ(code_of("ResumeContainer", resume), Code::kOk) << last_error();
  ASSERT_TRUE(run_until([&] { return line->has_value(); }));
}

TEST_F(CgroupTest, LimitsCanBeRaised) {
  create_sandbox();
  auto request = shell(
      "c1",
      "while read line; do (sleep 0 & sleep 0 & sleep 0 & wait) 2>/dev/null && echo good || echo bad; done");
  resources(request).mutable_pids()->set_limit(2);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  const auto ask = [&] {
    grpc::WriteStreamRequest write;
    write.set_container_id("c1");
    write.set_data("go\n");
    EXPECT_EQ(code_of("WriteStdin", write), Code::kOk) << last_error();
    grpc::ReadStreamRequest read;
    read.set_container_id("c1");
    read.set_len(100);
    const auto answer = call<grpc::ReadStreamResponse>("ReadStdout", read);
    return answer ? answer->data() : answer.error().message();
  };
  EXPECT_EQ(ask(), "bad\n");
  grpc::UpdateContainerRequest update;
  update.set_container_id("c1");
  update.mutable_resources()->mutable_pids()->set_limit(50);
  ASSERT_EQ(code_of("UpdateContainer", update), Code::kOk) << last_error();
  EXPECT_EQ(ask(), "good\n");
}

}  // namespace
}  // namespace kata::rpc
