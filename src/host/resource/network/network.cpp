#include "host/resource/network/network.h"

#include <cstdio>
#include <utility>

#include <unistd.h>

#include "host/resource/network/direct.h"
#include "lib/async/blocking_pool.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/netlink.h"
#include "lib/linux/tap.h"
#include "lib/log/log.h"

namespace kata::network {
namespace {

constexpr size_t kDirectFileLimit = size_t{1} << 20;
constexpr int kInterfaceTries = 10;
constexpr std::chrono::milliseconds kInterfacePause{100};

Teardown logging_teardown(const std::string& netns) {
  return Teardown("network of " + netns, [](std::string_view warning) { log::warning(warning); });
}

std::string journal_text(const std::string& netns, const NetnsId& id, const std::vector<Trace>& traces) {
  return std::to_string(id.device) + " " + std::to_string(id.inode) + " " + netns + "\n" +
         traces_to_text(traces);
}

void undo_in(const std::string& netns, const NetnsId& id, std::vector<Trace> traces, Teardown& teardown) {
  teardown.step("entering the namespace", [&] {
    if (!enter_netns(netns, id)) {
      log::debug("network namespace is gone: nothing to undo", {{"netns", netns}});
      return;
    }
    undo(*real_net_kernel(), std::move(traces), teardown);
  });
}

}  // namespace

Awaitable<> in_network_thread(std::function<void()> body) {
  BlockingPool pool;
  co_await pool.run(std::move(body));
}

Awaitable<> tell_interface(agent::AgentClient& agent, const agent::Interface& interface) {
  for (int i = 1;; ++i) {
    std::exception_ptr failure;
    try {
      co_await agent.update_interface(interface);
      co_return;
    } catch (const Error&) {
      failure = std::current_exception();
    }
    if (i == kInterfaceTries || !agent.is_open()) std::rethrow_exception(failure);
    co_await pause_for(kInterfacePause);
  }
}

// The taps are somebody else's: none is made, and what changes about them is not followed.
Awaitable<> Network::prepare_direct() {
  const std::string& file = config_.direct.file;
  auto read = parse_direct_network(read_file(file, kDirectFileLimit), config_.direct.queues);
  if (!read) throw read.error().within("directly attached network " + file);
  const DirectNetwork network = *std::move(read);
  config_.netns = network.netns.empty() ? "/proc/self/ns/net" : network.netns;
  id_ = netns_id(config_.netns);
  plan_ = network.plan;
  auto attach = [&] {
    enter_netns(config_.netns, std::nullopt);
    with_context("directly attached network " + file, [&] {
      check_taps(network, real_net_kernel()->picture().links);
      nics_ = connect(plan_);
    });
  };
  co_await in_network_thread(std::move(attach));
}

Awaitable<> Network::prepare() {
  if (!config_.direct.file.empty() && ::access(config_.direct.file.c_str(), F_OK) == 0) {
    co_await prepare_direct();
    co_return;
  }
  if (config_.netns.empty()) {
    log::warning(
        "the pod has no network namespace of its own that could hold links: it starts without a NIC");
    co_return;
  }
  const NetnsId id = netns_id(config_.netns);
  if (id == own_netns_id()) {
    log::warning("host network: a VM cannot share the host's links, the pod starts without a NIC");
    co_return;
  }
  id_ = id;
  co_await in_network_thread([this] { wire_in_thread(); });
  for (const std::string& warning : plan_.warnings) log::warning(warning);
  if (nics_.empty()) log::debug("no link with an address in the pod's namespace", {{"netns", config_.netns}});
}

void Network::wire_in_thread() {
  enter_netns(config_.netns, std::nullopt);
  // Before the first look, so that no change is missed.
  monitor_ = kernel::open_change_monitor();
  plan_ = plan_network(real_net_kernel()->picture());
  nics_ = connect(plan_);
  listen_in_thread();
}

std::vector<Network::Nic> Network::connect(const Plan& plan) {
  Teardown teardown = logging_teardown(config_.netns);
  const Journal journal = [this](const std::vector<Trace>& traces) { save(traces); };
  std::vector<Nic> nics;
  const auto kernel = real_net_kernel();
  const WiringRules rules{
      .model = config_.model, .queues = config_.queues, .limits = config_.limits, .first = next_number_};
  for (Wire& wire : wire(*kernel, plan, rules, journal, teardown)) {
    Nic nic{.id = "nic" + std::to_string(next_number_++),
            .endpoint = plan.endpoints[nics.size()],
            .queues = std::move(wire.queues),
            .vhost = {},
            .traces = std::move(wire.traces)};
    if (config_.vhost_net == NetworkConfig::VhostNet::kIfThere)
      nic.vhost = kernel::open_vhost_net(nic.queues.size());
    nics.push_back(std::move(nic));
  }
  return nics;
}

void Network::listen_in_thread() {
  try {
    listeners_ = listen_everywhere();
  } catch (const Error& error) {
    log::info("what connects to localhost in the pod's network namespace does not reach the guest",
              {{"error", error.message()}});
  }
}

void Network::save(const std::vector<Trace>& further) {
  unowned_ = further;
  if (config_.journal.empty()) return;
  std::vector<Trace> all;
  for (const Nic& nic : nics_) all.insert(all.end(), nic.traces.begin(), nic.traces.end());
  all.insert(all.end(), further.begin(), further.end());
  write_file_atomic(config_.journal, journal_text(config_.netns, *id_, all));
}

vmm::NicSpec Network::spec_of(const Nic& nic) {
  vmm::NicSpec spec;
  spec.id = nic.id;
  spec.mac = nic.endpoint.interface.mac;
  spec.receive_queue_size = nic.endpoint.queue_size;
  for (const UniqueFd& fd : nic.queues) spec.tap_fds.push_back(fd.get());
  for (const UniqueFd& fd : nic.vhost) spec.vhost_fds.push_back(fd.get());
  return spec;
}

std::vector<vmm::NicSpec> Network::nics() const {
  std::vector<vmm::NicSpec> specs;
  for (const Nic& nic : nics_) specs.push_back(spec_of(nic));
  return specs;
}

void Network::vmm_started() {
  for (Nic& nic : nics_) {
    nic.queues.clear();
    nic.vhost.clear();
  }
}

Awaitable<> Network::tell_guest(std::shared_ptr<agent::AgentClient> agent) const {
  for (const Nic& nic : nics_) co_await tell_interface(*agent, nic.endpoint.interface);
  if (!nics_.empty()) co_await tell_routes(plan_, *agent);
}

Awaitable<> Network::undo_traces(std::vector<Trace> traces) {
  if (traces.empty()) co_return;
  auto work = [this, &traces] {
    Teardown teardown = logging_teardown(config_.netns);
    undo_in(config_.netns, *id_, std::move(traces), teardown);
  };
  co_await in_network_thread(std::move(work));
}

Awaitable<> Network::release() {
  released_ = true;
  std::optional<AsyncMutex::Lock> lock;
  const auto busy = busy_;
  if (busy) lock.emplace(co_await busy->lock());
  listeners_.reset();
  std::vector<Trace> traces;
  for (const Nic& nic : std::exchange(nics_, {}))
    traces.insert(traces.end(), nic.traces.begin(), nic.traces.end());
  traces.insert(traces.end(), unowned_.begin(), unowned_.end());
  unowned_.clear();
  co_await undo_traces(std::move(traces));
}

void Network::clean_up(const std::string& journal, Teardown& teardown) {
  if (::access(journal.c_str(), R_OK) != 0) return;
  teardown.step("network of a crashed sandbox", [&] {
    const std::string text = read_file(journal, size_t{1} << 20);
    const size_t end = std::min(text.find('\n'), text.size());
    unsigned long long device = 0, inode = 0;
    int path_at = 0;
    if (std::sscanf(text.c_str(), "%llu %llu %n", &device, &inode, &path_at) != 2 || path_at == 0 ||
        static_cast<size_t>(path_at) >= end)
      throw Error(Code::kInvalidArgument, journal + " does not name a network namespace");
    const std::string netns = text.substr(static_cast<size_t>(path_at), end - static_cast<size_t>(path_at));
    undo_in(netns, {.device = device, .inode = inode}, traces_from_text(std::string_view(text).substr(end)),
            teardown);
  });
}

}  // namespace kata::network
