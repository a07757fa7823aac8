// The VM of a sandbox, up and down.
#include <array>
#include <climits>
#include <csignal>
#include <utility>

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include "host/config/derived.h"
#include "host/config/guest_command_line.h"
#include "host/device/aio.h"
#include "host/resource/file_copy/agent_files.h"
#include "host/resource/file_copy/copied_files.h"
#include "host/resource/share_fs/share_fs.h"
#include "host/sandbox/agent_errors.h"
#include "host/sandbox/phase_timer.h"
#include "host/sandbox/sandbox_impl.h"
#include "host/sandbox/vm_plan.h"
#include "lib/async/both.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/error/teardown.h"
#include "lib/failpoint/failpoint.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr uint32_t kStatusLost = 255;
// The VMM's helpers end with it, and then its end is the better cause.
constexpr Duration kVmmFirst = 100ms;
constexpr uint32_t kStatusKilled = 128 + SIGKILL;

std::string last_lines(std::string text, size_t count) {
  while (text.ends_with('\n')) text.pop_back();
  size_t begin = text.size();
  while (count-- > 0 && begin != std::string::npos && begin != 0) begin = text.rfind('\n', begin - 1);
  return begin == std::string::npos || begin == 0 ? text : text.substr(begin + 1);
}

// A container without a name of its own shows the node's, as with any runtime.
std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

}  // namespace

Awaitable<> SandboxImpl::ensure_booted(const oci::Spec& spec, std::shared_ptr<Container> first) {
  const auto lock = co_await boot_mutex_.lock();
  if (phase_ == Phase::kRunning) co_return;
  if (phase_ != Phase::kNew) {
    throw Error(Code::kFailedPrecondition, "sandbox " + config_.id + " has no running VM" +
                                               (failure_.empty() ? std::string() : ": " + failure_));
  }
  phase_ = Phase::kBooting;
  co_await boot(spec, std::move(first));
  phase_ = Phase::kRunning;
  start_watchers();
}

Awaitable<uint32_t> SandboxImpl::boot_empty(oci::Spec pod) {
  const auto self = shared_from_this();
  pod_ = std::move(pod);
  std::exception_ptr failure;
  try {
    co_await ensure_booted(*pod_, nullptr);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await stop();
    std::rethrow_exception(failure);
  }
  co_return pid();
}

Awaitable<ExitInfo> SandboxImpl::wait_end() {
  const auto self = shared_from_this();
  co_await stopped_.wait();
  co_return ExitInfo{.status = failure_.empty() ? 0 : kStatusLost, .at = ended_at_};
}

Awaitable<> SandboxImpl::boot(const oci::Spec& spec, std::shared_ptr<Container> first) {
  const PhaseTimer timer("boot");
  plan_share_kind(config_.config);
  resources_.size_vm(config_.config, spec);
  make_disk_manager(spec, {});
  run_dir_.create();
  save_state(run_dir_.state_file(), state_);
  record("shim", ::getpid());
  // Before the network is looked at: they may be what makes it.
  if (first) co_await run_early_hooks(first);
  enter_cgroup(spec);
  driver_ = parts_.make_driver(config_.config.hypervisor_name, executor_);
  co_await both(prepare_transport(), prepare_network(spec));
  share_ = make_share();
  // The share's socket listens before prepare_share() first waits, so the VMM need not.
  co_await both(prepare_share(), start_vm());
  KATA_FAILPOINT("vm-booting");
  co_await bring_up_guest(spec);
  KATA_FAILPOINT("sandbox-made");
}

void SandboxImpl::enter_cgroup(const oci::Spec& spec) {
  const PhaseTimer timer("cgroup");
  resources_.enter(config_.config, spec, [this](std::vector<std::string> folders) {
    state_.cgroups = std::move(folders);
    save_state(run_dir_.state_file(), state_);
  });
}

Awaitable<> SandboxImpl::prepare_transport() {
  const PhaseTimer timer("transport");
  transport_ = co_await parts_.make_transport(plan_transport(config_.config, run_dir_));
  if (transport_->process()) record("vsock-device", transport_->process()->pid());
}

std::unique_ptr<share_fs::Share> SandboxImpl::make_share() {
  if (plan_share_kind(config_.config) == ShareKind::kCopies) {
    if (!config_.config.runtime.sandbox_bind_mounts.empty())
      log::warning("sandbox_bind_mounts need a shared file system: the guest does not have them");
    // It is released before the sandbox ends.
    return std::make_unique<file_copy::CopiedFiles>(executor_,
                                                    file_copy::files_by_agent([this] { return agent(); }));
  }
  share_fs::ShareFsConfig wanted = plan_share(config_.id, config_.config, run_dir_);
  wanted.base = parts_.share_base;
  return std::make_unique<share_fs::ShareFs>(executor_, std::move(wanted));
}

Awaitable<> SandboxImpl::prepare_share() {
  const PhaseTimer timer("share");
  co_await share_->prepare();
  if (share_->pid() != 0) record("virtiofsd", share_->pid());
}

Awaitable<> SandboxImpl::prepare_network(const oci::Spec& spec) {
  const PhaseTimer timer("network");
  network::NetworkConfig plan = plan_network(config_.id, config_.config, spec, run_dir_);
  if (new_netns_) plan.netns = *netns_of(spec);
  network_ = std::make_unique<network::Network>(std::move(plan));
  co_await network_->prepare();
}

Awaitable<> SandboxImpl::start_vm() {
  const PhaseTimer timer("vmm");
  KATA_FAILPOINT("vm-starting");
  vmm::VmSpec spec = plan_vm(config_.id, config_.config, run_dir_.path());
  spec.boot.command_line = config::guest_command_line(config_.config);
  if (network_->has_listeners()) {
    spec.boot.command_line +=
        " " + std::string(network::kForwardParameter) + "=" + std::to_string(network::kForwardPort);
  }
  if (auto share = share_->spec()) spec.shares.push_back(*std::move(share));
  spec.nics = network_->nics();
  disks_->plan_start(spec);
  if (!spec.disks.empty() || !spec.ports.empty()) {
    device::AioChoice aio =
        device::choose_aio(spec.block.aio, spec.block.cache_direct, device::io_uring_problem);
    if (!aio.warning.empty()) log::info(aio.warning);
    spec.block.aio = std::move(aio.aio);
  }
  if (network_->can_follow()) spec.nic_ports = plan_nic_ports(config_.config, spec.nics.size());
  vmm::VsockSpec vsock;
  vsock.kind = transport_->vhost_user_socket().empty() ? vmm::VsockSpec::Kind::kVhost
                                                       : vmm::VsockSpec::Kind::kVhostUser;
  vsock.cid = transport_->cid();
  vsock.socket = transport_->vhost_user_socket();
  vsock.vhost_fd = transport_->vhost_fd();
  // Each helper process maps the guest's memory.
  spec.memory.shared = !spec.shares.empty() || vsock.kind == vmm::VsockSpec::Kind::kVhostUser;
  spec.vsock = std::move(vsock);
  if (resources_.memory_from_limit()) spec.memory.too_small = vmm::MemorySpec::TooSmall::kRaise;
  spec.cgroup_procs = resources_.vmm_entry_files();
  try {
    co_await driver_->start(std::move(spec));
  } catch (const Error& error) {
    // containerd makes "unknown" of an internal error.
    throw error.code() == Code::kInternal ? error.as(Code::kUnavailable) : error;
  }
  disks_->vm_started(driver_->disk_plug());
  record("vmm", driver_->pid());
  transport_->vmm_started();
  network_->vmm_started();
  co_await resources_.place_vcpus(*driver_);
}

Awaitable<std::string> SandboxImpl::device_end() {
  if (transport_->process()) {
    const auto status = co_await transport_->process()->wait();
    co_await pause_for(kVmmFirst);
    co_return "the vsock device ended: " + status.text();
  }
  co_await stopped_.wait();
  co_return "";
}

Awaitable<std::string> SandboxImpl::share_end() {
  if (share_->pid() != 0) {
    const std::string reason = co_await share_->daemon_end();
    co_await pause_for(kVmmFirst);
    co_return reason;
  }
  co_await stopped_.wait();
  co_return "";
}

// Returns when something has ended that the guest cannot do without.
Awaitable<std::string> SandboxImpl::broken_part() {
  auto died = [](vmm::VmDriver& driver) -> Awaitable<std::string> {
    co_return (co_await driver.wait()).reason;
  };
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor_, died(*driver_), asio::deferred),
      asio::co_spawn(executor_, driver_->guest_failure(), asio::deferred),
      asio::co_spawn(executor_, share_end(), asio::deferred),
      asio::co_spawn(executor_, device_end(), asio::deferred));
  auto [order, error1, vmm, error2, guest, error3, share, error4, device] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  const std::array<std::exception_ptr, 4> errors{error1, error2, error3, error4};
  if (errors[order[0]]) std::rethrow_exception(errors[order[0]]);
  co_return std::array<std::string, 4>{vmm, guest, share, device}[order[0]];
}

// What is waited for in the guest ends at once when something has broken.
Awaitable<> SandboxImpl::bring_up_guest(const oci::Spec& spec) {
  auto steps = [](SandboxImpl& self, const oci::Spec& pod) -> Awaitable<> {
    co_await self.connect_agent();
    KATA_FAILPOINT("agent-connected");
    co_await self.set_up_guest(pod);
  };
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor_, steps(*this, spec), asio::deferred),
                                              asio::co_spawn(executor_, broken_part(), asio::deferred));
  auto [order, error, watch_error, broken] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && !watch_error) throw Error(Code::kUnavailable, boot_report(broken));
  if (!error) co_return;
  const Error failed = to_error(error);
  if (!is_connection_closed(failed)) throw failed;
  // The connection goes a moment before its cause is seen.
  std::string cause = failed.message();
  try {
    cause = co_await with_deadline(broken_part(), 300ms, "looking for what broke");
  } catch (const Error&) {
    log::debug("nothing but the connection to the agent is broken", {{"sandbox", config_.id}});
  }
  throw Error(Code::kUnavailable, boot_report(cause));
}

Awaitable<> SandboxImpl::dial_agent(std::optional<StreamSocket>& socket) {
  const config::AgentTimes times = config::agent_times(config_.config.agent);
  socket = co_await vsock::connect_with_retry(transport_->dialer(), config_.config.agent.server_port,
                                              times.first_pause, times.reconnect);
}

Awaitable<> SandboxImpl::connect_agent() {
  const PhaseTimer timer("guest boot");
  std::optional<StreamSocket> socket;
  std::exception_ptr failure;
  try {
    co_await dial_agent(socket);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (failure) {
    const Error cause = to_error(failure);
    throw Error(cause.code(), boot_report(cause.message()));
  }
  const config::AgentTimes times = config::agent_times(config_.config.agent);
  const agent::Limits limits{.request = times.request, .health = times.health_check};
  agent_ = std::make_shared<agent::AgentClient>(std::move(*socket), config_.id, limits, transport_->dialer());
}

std::string SandboxImpl::boot_report(const std::string& cause) const {
  std::string text = "guest of sandbox " + config_.id + " did not come up: " + cause;
  // QEMU may complain of one thing many times.
  const std::string vmm_output = last_lines(driver_->error_output(), 2);
  if (!vmm_output.empty()) text += "\nVMM: " + vmm_output;
  const auto lines = driver_->last_console_lines(3);
  for (const std::string& line : lines) text += "\nconsole: " + line;
  return text;
}

Awaitable<> SandboxImpl::set_up_guest(const oci::Spec& spec) {
  const PhaseTimer timer("guest set-up");
  co_await network_->tell_guest(agent_);
  agent::SandboxSetup setup = plan_guest(config_.id, config_.config, spec);
  if (setup.hostname.empty()) setup.hostname = host_name();
  co_await agent_->create_sandbox(std::move(setup));
}

void SandboxImpl::record(const char* role, pid_t pid) {
  if (auto process = record_process(role, pid)) {
    state_.processes.push_back(std::move(*process));
    save_state(run_dir_.state_file(), state_);
  }
}

Awaitable<> SandboxImpl::stop() {
  const auto self = shared_from_this();
  if (phase_ == Phase::kStopping || phase_ == Phase::kStopped) {
    co_await stopped_.wait();
    co_return;
  }
  const bool existed = phase_ != Phase::kNew;
  phase_ = Phase::kStopping;
  // The watchers first, so that none of them takes the end that follows for a failure (B3).
  watchers_.cancel();
  try {
    KATA_FAILPOINT("stopping");
    co_await end_processes();
    if (existed) co_await tear_down();
  } catch (...) {
    log::warning("stopping the sandbox", {{"error", to_error(std::current_exception()).message()}});
  }
  phase_ = Phase::kStopped;
  ended_at_ = std::chrono::system_clock::now();
  stopped_.set();
}

Awaitable<> SandboxImpl::end_processes() {
  bool running = false;
  for (const auto& [id, target] : containers_) running = running || !target->init->stopped();
  if (running && agent_ && agent_->is_open()) {
    try {
      co_await agent_->destroy_sandbox();
    } catch (const Error& error) {
      log::debug("courtesy to the guest agent", {{"error", error.message()}});
    }
  }
  if (agent_) agent_->close();
  // Exec exits come before the exit of their container.
  const uint32_t status = failure_.empty() ? kStatusKilled : kStatusLost;
  for (const auto& [id, target] : containers_) {
    for (const auto& [exec_id, exec] : target->execs) {
      if (exec->state() != ProcessState::kRunning) continue;
      exec->finish(status);
      report_exit(*exec);
    }
    if (target->init->stopped()) continue;
    target->init->finish(status);
    report_exit(*target->init);
  }
}

Awaitable<> SandboxImpl::tear_down() {
  Teardown teardown("sandbox " + config_.id, [](std::string_view warning) { log::warning(warning); });
  // Awaited steps with the teardown's promise: each runs, whatever happened to the ones before it.
  const auto step = [&](const char* name, Awaitable<> work, Duration limit) -> Awaitable<> {
    try {
      co_await with_deadline(std::move(work), limit, name);
    } catch (...) {
      teardown.failed(name, to_error(std::current_exception()).message());
    }
  };
  if (driver_) co_await step("stopping the VM", driver_->stop(), 5s);
  co_await step("ending supervision", supervisors_.join(), 3s);
  if (network_) {
    const PhaseTimer timer("network undo");
    co_await step("undoing the network", network_->release(), 3s);
  }
  if (transport_) co_await step("ending the vsock device", transport_->release(), 3s);
  if (share_) co_await step("releasing the shared tree", share_->release(), 5s);
  co_await step("leaving the control groups", resources_.release(teardown), 3s);
  teardown.step("removing the disks of emptyDirs", [&] { remove_empty_dirs(); });
  teardown.step("removing the run folder", [&] { run_dir_.remove(); });
}

}  // namespace kata::sandbox
