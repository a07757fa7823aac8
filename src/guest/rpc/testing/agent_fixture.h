// Tests that drive the real agent without a VM: the program is served on a Unix socket inside namespaces of
// its own.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"
#include "lib/ttrpc/client.h"

#include "agent/agent.pb.h"
#include "agent/health.pb.h"
#include "agent/katacpp.pb.h"

namespace kata::rpc {

inline constexpr const char* kAgent = "grpc.AgentService";
// The socket of a running VM, null without one.
const char* vm_socket();

inline constexpr const char* kExtra = "katacpp.agent.v1.Extra";

// What an agent holds: compared before and after.
struct Residue {
  std::vector<std::string> mounts, folders, cgroups, processes;
  bool operator==(const Residue&) const = default;
  [[nodiscard]] std::string text() const;
};

class AgentTest : public testing::Test {
 protected:
  // Skips where it cannot run: no root, no busybox, no namespaces.
  void SetUp() override;
  void TearDown() override;

  template <typename Response, typename Request>
  std::expected<Response, Error> call(const std::string& method, const Request& request,
                                      const std::string& service = kAgent) {
    auto answer = call_raw(service, method, request.SerializeAsString());
    if (!answer) return std::unexpected(answer.error());
    Response response;
    if (!response.ParseFromString(*answer)) return std::unexpected(Error(Code::kDataLoss, method));
    return response;
  }
  // kOk, or the code of the error; the message goes to last_error().
  template <typename Request>
  Code code_of(const std::string& method, const Request& request, const std::string& service = kAgent) {
    const auto answer = call_raw(service, method, request.SerializeAsString());
    last_error_ = answer ? "" : answer.error().message();
    return answer ? Code::kOk : answer.error().code();
  }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  // The call fails so, says so, and the agent goes on.
  template <typename Request>
  void expect(const char* row, const std::string& method, const Request& request, Code code,
              const std::string& text) {
    EXPECT_EQ(static_cast<int>(code_of(method, request)), static_cast<int>(code))
        << row << ": " << last_error();
    EXPECT_NE(last_error().find(text), std::string::npos) << row << ": " << last_error();
    EXPECT_EQ(code_of("Check", grpc::CheckRequest(), "grpc.Health"), Code::kOk) << row;
  }
  std::expected<std::string, Error> call_raw(const std::string& service, const std::string& method,
                                             std::string payload);
  // Starts a call and returns at once; the result appears in the slot.
  std::shared_ptr<std::optional<std::expected<std::string, Error>>> begin(const std::string& method,
                                                                          std::string payload);
  // Runs the loop until `done` or ten seconds have passed.
  bool run_until(const std::function<bool()>& done);

  void create_sandbox(const std::string& id = "sandbox1");
  // The request that a shim sends for a container of `args` on the busybox root file system.
  grpc::CreateContainerRequest container(const std::string& id, std::vector<std::string> args) const;
  grpc::CreateContainerRequest shell(const std::string& id, const std::string& script) const {
    return container(id, {"sh", "-c", script});
  }
  Code create_and_start(const grpc::CreateContainerRequest& request);
  // Reads one stream to its end.
  std::string read_all(const std::string& method, const std::string& id, const std::string& exec_id);
  int wait(const std::string& id, const std::string& exec_id = "");
  Code signal(const std::string& id, const std::string& exec_id, uint32_t number);
  Code remove(const std::string& id);
  Code exec(const std::string& id, const std::string& exec_id, std::vector<std::string> args);

  // A blocking connection to another port of the guest.
  static constexpr uint32_t kAgentPort = 1024;
  [[nodiscard]] UniqueFd connect_port(uint32_t port) const;

  [[nodiscard]] Residue residue() const;
  // Fails unless the agent soon holds exactly this again (an ended process is reaped a moment later).
  void expect_residue(const Residue& before, const std::string& what);
  // A path of the agent's mount namespace, seen from here.
  [[nodiscard]] std::string guest(const std::string& path) const;
  [[nodiscard]] std::string rootfs() const;
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] pid_t agent_pid() const { return agent_pid_; }
  [[nodiscard]] const std::string& log() const { return log_; }

 private:
  void make_rootfs();
  void upload_rootfs();
  void start_agent();
  void connect();
  Awaitable<> read_log(UniqueFd fd);

  asio::io_context io_;
  std::string folder_;
  std::string log_;
  std::shared_ptr<ChildProcess> box_;
  std::shared_ptr<ttrpc::Client> client_;
  pid_t agent_pid_ = 0;
  std::string last_error_;
};

}  // namespace kata::rpc
