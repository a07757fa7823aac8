// Containers that do their worst: pid 1 of the guest goes on, answers others, does not grow, and gets rid of
// them.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "guest/rpc/testing/agent_fixture.h"

namespace kata::rpc {
namespace {

using Clock = std::chrono::steady_clock;

class HostileTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    if (!IsSkipped()) create_sandbox();
  }
  // The agent answers others while a container is at it.
  void expect_answers(const char* what) {
    const auto start = Clock::now();
    EXPECT_EQ(code_of("Check", grpc::CheckRequest(), "grpc.Health"), Code::kOk) << what;
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << what;
  }
  // KiB of memory that is the agent's alone; 0 where a sanitizer keeps what the agent frees.
  [[nodiscard]] long memory() const {
#if __has_feature(address_sanitizer)
    return 0;
#endif
    std::ifstream file("/proc/" + std::to_string(agent_pid()) + "/smaps_rollup");
    std::string word;
    long size = 0;
    while (file >> word) {
      if (word == "Anonymous:" && file >> size) return size;
    }
    return -1;
  }
  [[nodiscard]] long descriptors() const {
    long count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(agent_pid()) + "/fd")) {
      (void)entry;
      ++count;
    }
    return count;
  }
  std::string line_of(const std::string& id) {
    std::string text;
    while (text.find('\n') == std::string::npos) {
      grpc::ReadStreamRequest request;
      request.set_container_id(id);
      request.set_len(100);
      const auto answer = call<grpc::ReadStreamResponse>("ReadStdout", request);
      if (!answer || answer->data().empty()) break;
      text += answer->data();
    }
    return text;
  }
};

TEST_F(HostileTest, ForkBomb) {
  const Residue before = residue();
  auto request = shell("c1", "echo go; b() { b | b & wait; }; b");
  request.mutable_oci()->mutable_linux()->mutable_resources()->mutable_pids()->set_limit(150);
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(line_of("c1"), "go\n");
  for (int i = 0; i < 20; ++i) expect_answers("fork bomb");
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  expect_residue(before, "after the fork bomb");
}

TEST_F(HostileTest, TenThousandProcesses) {
  // Each costs the machine some 200 KiB.
  std::ifstream meminfo("/proc/meminfo");
  std::string word;
  long available = 0;
  while (meminfo >> word && !(word == "MemAvailable:" && meminfo >> available)) {
  }
  const long count = std::min(10'000L, available / 1024);
  if (count < 1000) GTEST_SKIP() << "too little memory";
  const Residue before = residue();
  const auto request = shell("c1", "i=0; while [ $i -lt " + std::to_string(count) +
                                       " ]; do sleep 1000 & i=$((i+1)); done; echo all; wait");
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  const long idle = memory();
  const auto line = begin("ReadStdout", [] {
    grpc::ReadStreamRequest read;
    read.set_container_id("c1");
    read.set_len(100);
    return read.SerializeAsString();
  }());
  const auto end = Clock::now() + std::chrono::seconds(120);
  while (!line->has_value() && Clock::now() < end) expect_answers("while they start");
  ASSERT_TRUE(line->has_value()) << "they did not start in time";
  EXPECT_LT(memory() - idle, 1024);
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  expect_residue(before, "after the processes");
}

TEST_F(HostileTest, OutputThatNobodyReads) {
  const Residue before = residue();
  ASSERT_EQ(create_and_start(shell("c1", "dd if=/dev/zero bs=1M count=1024 2>/dev/null; echo end")),
            Code::kOk)
      << last_error();
  const long idle = memory();
  // It writes until the pipe is full: a few turns of the agent are more than enough for that.
  for (int i = 0; i < 200; ++i) expect_answers("output");
  EXPECT_LT(memory() - idle, 1024) << "the output is kept in memory";
  // All of it is still to be had.
  size_t total = 0;
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  read.set_len(1 << 20);
  for (;;) {
    const auto answer = call<grpc::ReadStreamResponse>("ReadStdout", read);
    if (!answer || answer->data().empty()) break;
    total += answer->data().size();
  }
  EXPECT_EQ(total, (size_t{1} << 30) + 4);
  EXPECT_LT(memory() - idle, 2048);
  EXPECT_EQ(wait("c1"), 0);
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  expect_residue(before, "after the output");
}

TEST_F(HostileTest, ExitStorm) {
  ASSERT_EQ(create_and_start(shell("c1", "while :; do true & done")), Code::kOk) << last_error();
  ASSERT_EQ(create_and_start(container("c2", {"sleep", "1000"})), Code::kOk) << last_error();
  const long open = descriptors();
  for (int i = 0; i < 50; ++i) {
    const std::string name = "e" + std::to_string(i);
    ASSERT_EQ(exec("c2", name, {"sh", "-c", "exit " + std::to_string(i)}), Code::kOk) << last_error();
    EXPECT_EQ(wait("c2", name), i);
  }
  EXPECT_LE(descriptors(), open + 3);
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  EXPECT_EQ(remove("c2"), Code::kOk) << last_error();
}

TEST_F(HostileTest, DeepMountTrees) {
  const Residue before = residue();
  auto request = shell("c1", "grep -c ' /deep' /proc/self/mountinfo");
  std::string path = "/deep";
  for (int level = 0; level < 150; ++level) {
    auto& mount = *request.mutable_oci()->add_mounts();
    mount.set_destination(path);
    mount.set_source("tmpfs");
    mount.set_type("tmpfs");
    path += "/level" + std::to_string(level);
  }
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "150\n");
  EXPECT_EQ(wait("c1"), 0);
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  // One more than the kernel takes as a path.
  auto& mount = *request.mutable_oci()->add_mounts();
  mount.set_destination("/deep" + std::string(5000, 'x'));
  mount.set_source("tmpfs");
  mount.set_type("tmpfs");
  EXPECT_NE(code_of("CreateContainer", request), Code::kOk);
  expect_residue(before, "after the mounts");
}

TEST_F(HostileTest, GiantEnvironment) {
  const Residue before = residue();
  auto request = shell("c1", "echo ${#LAST}");
  for (int i = 0; i < 15; ++i)
    request.mutable_oci()->mutable_process()->add_env("V" + std::to_string(i) + "=" +
                                                      std::string(100'000, 'v'));
  request.mutable_oci()->mutable_process()->add_env("LAST=" + std::string(1000, 'l'));
  ASSERT_EQ(create_and_start(request), Code::kOk) << last_error();
  EXPECT_EQ(read_all("ReadStdout", "c1", ""), "1000\n");
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  // Longer than the kernel takes: said when the program is to start.
  request.mutable_oci()->mutable_process()->add_env("LONG=" + std::string(200'000, 'x'));
  EXPECT_NE(create_and_start(request), Code::kOk);
  EXPECT_NE(last_error().find("argument list too long"), std::string::npos) << last_error();
  (void)remove("c1");
  expect_residue(before, "after the environment");
  expect_answers("after the environment");
}

}  // namespace
}  // namespace kata::rpc
