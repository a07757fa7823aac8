// A sandbox of containers that exist in name only, driven by a test.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/sandbox/sandbox.h"
#include "lib/async/event.h"
#include "lib/error/error.h"

namespace kata::sandbox {

// Keeps the states and the promises of Sandbox; processes end when the test says so, or by SIGKILL and
// SIGTERM.
class FakeSandbox : public Sandbox {
 public:
  // What a test looks at and sets; outlives the sandbox.
  struct Script {
    std::vector<std::string> calls;
    // Thrown by the next create_container() or start(), then forgotten.
    std::optional<Error> create_error;
    std::optional<Error> start_error;
    // Exit status of processes that end before start() returns; none = they run on.
    std::optional<uint32_t> instant_exit;
    // When set, create_container() waits for it.
    std::shared_ptr<Event> create_gate;
    // The same for kill().
    std::shared_ptr<Event> kill_gate;
    ContainerStats stats;
    // Thrown by ip_tables().
    std::optional<Error> admin_error;
    size_t made = 0;
    size_t stopped = 0;
    // Of boot_empty().
    oci::Spec pod;
    std::optional<Error> boot_error;
    SandboxConfig config;
    std::vector<ContainerRequest> requests;
    std::vector<ExecRequest> execs;
    oci::Resources resources;
    std::weak_ptr<FakeSandbox> last;
  };

  static constexpr uint32_t kPid = 4242;

  FakeSandbox(asio::any_io_executor executor, std::shared_ptr<EventSink> events,
              std::shared_ptr<Script> script)
      : executor_(std::move(executor)),
        events_(std::move(events)),
        script_(std::move(script)),
        over_(executor_) {}

  Awaitable<uint32_t> create_container(ContainerRequest request) override {
    script_->calls.push_back("create " + request.id);
    if (script_->create_gate) co_await script_->create_gate->wait();
    if (script_->create_error) throw *std::exchange(script_->create_error, std::nullopt);
    if (processes_.contains({request.id, ""}))
      throw Error(Code::kAlreadyExists, "container " + request.id + " exists");
    Process& process = add(request.id, "", request.stdio);
    process.status.bundle = request.bundle;
    order_.push_back(request.id);
    script_->requests.push_back(std::move(request));
    co_return kPid;
  }

  Awaitable<uint32_t> boot_empty(oci::Spec pod) override {
    script_->calls.emplace_back("boot");
    if (script_->boot_error) throw *std::exchange(script_->boot_error, std::nullopt);
    script_->pod = std::move(pod);
    co_return kPid;
  }
  Awaitable<ExitInfo> wait_end() override {
    co_await over_.wait();
    co_return end_;
  }
  // The VM ends by itself.
  void die() {
    end_ = {255, std::chrono::system_clock::now()};
    over_.set();
  }

  Awaitable<uint32_t> start(std::string container_id, std::string exec_id) override {
    script_->calls.push_back("start " + container_id + " " + exec_id);
    Process& process = find(container_id, exec_id);
    if (process.status.state != ProcessState::kCreated)
      throw Error(Code::kFailedPrecondition, "process of " + container_id + " was started already");
    if (script_->start_error) throw *std::exchange(script_->start_error, std::nullopt);
    process.status.state = ProcessState::kRunning;
    if (script_->instant_exit) exit(container_id, exec_id, *script_->instant_exit);
    co_return kPid;
  }

  void add_exec(ExecRequest request) override {
    find(request.container_id, "");
    if (processes_.contains({request.container_id, request.exec_id}))
      throw Error(Code::kAlreadyExists, "exec " + request.exec_id + " exists");
    add(request.container_id, request.exec_id, request.stdio);
    script_->execs.push_back(std::move(request));
  }

  Awaitable<ExitInfo> wait(std::string container_id, std::string exec_id) override {
    const std::shared_ptr<Event> ended = find(container_id, exec_id).ended;
    const std::shared_ptr<ExitInfo> info = find(container_id, exec_id).info;
    co_await ended->wait();
    co_return *info;
  }

  Awaitable<ExitInfo> remove(std::string container_id, std::string exec_id) override {
    script_->calls.push_back("remove " + container_id + " " + exec_id);
    const ProcessStatus status = find(container_id, exec_id).status;
    if (status.state == ProcessState::kRunning || status.state == ProcessState::kPaused)
      throw Error(Code::kFailedPrecondition, "container " + container_id + " still runs: kill it first");
    std::erase_if(processes_, [&](const auto& entry) {
      return entry.first.first == container_id && (exec_id.empty() || entry.first.second == exec_id);
    });
    if (exec_id.empty()) std::erase(order_, container_id);
    co_return status.exit;
  }

  Awaitable<> kill(std::string container_id, std::string exec_id, uint32_t signal, KillScope scope) override {
    script_->calls.push_back("kill " + container_id + " " + exec_id + " " + std::to_string(signal) +
                             (scope == KillScope::kAll ? " all" : ""));
    if (script_->kill_gate) co_await script_->kill_gate->wait();
    if (find(container_id, exec_id).status.state == ProcessState::kStopped)
      throw Error(Code::kNotFound, "process of container " + container_id + " has ended");
    if (signal == 9 || signal == 15) exit(container_id, exec_id, 128 + signal);
    co_return;
  }

  Awaitable<> resize(std::string container_id, std::string exec_id, uint32_t width,
                     uint32_t height) override {
    find(container_id, exec_id);
    script_->calls.push_back("resize " + std::to_string(width) + "x" + std::to_string(height));
    co_return;
  }
  Awaitable<> close_stdin(std::string container_id, std::string exec_id) override {
    find(container_id, exec_id);
    script_->calls.push_back("close " + container_id + " " + exec_id);
    co_return;
  }
  Awaitable<> pause(std::string container_id) override {
    find(container_id, "").status.state = ProcessState::kPaused;
    co_return;
  }
  Awaitable<> resume(std::string container_id) override {
    find(container_id, "").status.state = ProcessState::kRunning;
    co_return;
  }
  Awaitable<> update(std::string container_id, oci::Resources resources) override {
    find(container_id, "");
    script_->resources = std::move(resources);
    co_return;
  }
  Awaitable<ContainerStats> stats(std::string container_id) override {
    find(container_id, "");
    co_return script_->stats;
  }
  Awaitable<std::vector<uint32_t>> pids(std::string container_id) override {
    find(container_id, "");
    co_return std::vector<uint32_t>{kPid, 7};
  }

  [[nodiscard]] ProcessStatus status(const std::string& container_id,
                                     const std::string& exec_id) const override {
    const auto found = processes_.find({container_id, exec_id});
    if (found == processes_.end()) throw Error(Code::kNotFound, "container " + container_id + " not found");
    return found->second.status;
  }
  [[nodiscard]] std::vector<std::string> containers() const override { return order_; }
  [[nodiscard]] uint32_t pid() const override { return kPid; }
  [[nodiscard]] std::string agent_url() const override { return "vsock://3:1024"; }
  [[nodiscard]] std::string agent_latencies() const override { return "kata_agent_rpc 1\n"; }
  Awaitable<std::string> ip_tables(IpVersion version) override {
    if (script_->admin_error) throw *script_->admin_error;
    co_return version == IpVersion::kV6 ? "*filter6\n" : "*filter\n";
  }
  Awaitable<std::string> set_ip_tables(IpVersion version, std::string rules) override {
    script_->calls.push_back((version == IpVersion::kV6 ? "ip6tables " : "iptables ") + rules);
    co_return "";
  }
  Awaitable<> set_policy(std::string policy) override {
    script_->calls.push_back("policy " + policy);
    co_return;
  }
  Awaitable<std::vector<agent::VolumeUsage>> volume_stats(std::string path) override {
    script_->calls.push_back("stats " + path);
    std::vector<agent::VolumeUsage> usage;
    usage.push_back({.available = 1, .total = 3, .used = 2, .unit = agent::VolumeUsage::Unit::kBytes});
    co_return usage;
  }
  Awaitable<> resize_volume(std::string path, uint64_t bytes) override {
    script_->calls.push_back("resize " + path + " " + std::to_string(bytes));
    co_return;
  }
  Awaitable<std::string> agent_metrics() override { co_return std::string("kata_agent_up 1\n"); }

  Awaitable<> stop() override {
    ++script_->stopped;
    for (auto& [key, process] : processes_) {
      if (process.status.state == ProcessState::kRunning) exit(key.first, key.second, 137);
    }
    if (end_.at == std::chrono::system_clock::time_point{}) end_.at = std::chrono::system_clock::now();
    over_.set();
    co_return;
  }

  // Ends a process.
  void exit(const std::string& container_id, const std::string& exec_id, uint32_t status) {
    Process& process = find(container_id, exec_id);
    process.status.state = ProcessState::kStopped;
    process.status.exit = {status, std::chrono::system_clock::now()};
    *process.info = process.status.exit;
    process.ended->set();
    events_->on_exit(container_id, exec_id, kPid, process.status.exit);
  }

 private:
  struct Process {
    ProcessStatus status;
    std::shared_ptr<Event> ended;
    std::shared_ptr<ExitInfo> info = std::make_shared<ExitInfo>();
  };

  Process& add(const std::string& container_id, const std::string& exec_id, const Stdio& stdio) {
    Process& process = processes_[{container_id, exec_id}];
    process.status.container_id = container_id;
    process.status.exec_id = exec_id;
    process.status.pid = kPid;
    process.status.stdio = stdio;
    process.ended = std::make_shared<Event>(executor_);
    return process;
  }
  Process& find(const std::string& container_id, const std::string& exec_id) {
    const auto found = processes_.find({container_id, exec_id});
    if (found == processes_.end()) throw Error(Code::kNotFound, "container " + container_id + " not found");
    return found->second;
  }

  asio::any_io_executor executor_;
  std::shared_ptr<EventSink> events_;
  std::shared_ptr<Script> script_;
  std::map<std::pair<std::string, std::string>, Process> processes_;
  std::vector<std::string> order_;
  Event over_;
  ExitInfo end_;
};

}  // namespace kata::sandbox
