#include "host/resource/network/network.h"

#include <cstdio>
#include <utility>

#include <unistd.h>

#include "lib/async/blocking_pool.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/tap.h"
#include "lib/log/log.h"

namespace kata::network {
namespace {

constexpr int kInterfaceTries = 10;
constexpr std::chrono::milliseconds kInterfacePause{100};

Teardown logging_teardown(const std::string& netns) {
  return Teardown("network of " + netns, [](std::string_view warning) { log::warning(warning); });
}

// Runs in a thread of its own, which ends afterwards: its namespaces go with it.
template <typename Body>
Awaitable<> in_thread(Body body) {
  BlockingPool pool;
  co_await pool.run(std::move(body));
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

Awaitable<> Network::prepare() {
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
  co_await in_thread([this] { wire_in_thread(); });
  for (const std::string& warning : plan_.warnings) log::warning(warning);
  if (nics_.empty()) log::debug("no link with an address in the pod's namespace", {{"netns", config_.netns}});
}

void Network::wire_in_thread() {
  Teardown teardown = logging_teardown(config_.netns);
  enter_netns(config_.netns, std::nullopt);
  const auto kernel = real_net_kernel();
  plan_ = plan_network(kernel->picture());
  const Journal journal = [this](const std::vector<Trace>& traces) { save(traces); };
  for (Wire& wire : wire(*kernel, plan_, config_.model, config_.queues, journal, teardown)) {
    Nic nic{.queues = std::move(wire.queues), .vhost = {}};
    if (config_.vhost_net == NetworkConfig::VhostNet::kIfThere)
      nic.vhost = kernel::open_vhost_net(nic.queues.size());
    nics_.push_back(std::move(nic));
  }
  listen_in_thread();
}

void Network::listen_in_thread() {
  try {
    listeners_ = listen_everywhere();
  } catch (const Error& error) {
    log::info("what connects to localhost in the pod's network namespace does not reach the guest",
              {{"error", error.message()}});
  }
}

void Network::save(const std::vector<Trace>& traces) {
  traces_ = traces;
  if (!config_.journal.empty()) write_file_atomic(config_.journal, journal_text(config_.netns, *id_, traces));
}

std::vector<vmm::NicSpec> Network::nics() const {
  std::vector<vmm::NicSpec> specs;
  for (size_t i = 0; i < nics_.size(); ++i) {
    vmm::NicSpec spec;
    spec.id = "nic" + std::to_string(i);
    spec.mac = plan_.endpoints[i].interface.mac;
    for (const UniqueFd& fd : nics_[i].queues) spec.tap_fds.push_back(fd.get());
    for (const UniqueFd& fd : nics_[i].vhost) spec.vhost_fds.push_back(fd.get());
    specs.push_back(std::move(spec));
  }
  return specs;
}

void Network::vmm_started() {
  nics_.clear();
}

Awaitable<> Network::tell_guest(std::shared_ptr<agent::AgentClient> agent) const {
  for (const Endpoint& endpoint : plan_.endpoints) {
    for (int i = 1;; ++i) {
      std::exception_ptr failure;
      try {
        co_await agent->update_interface(endpoint.interface);
        break;
      } catch (const Error&) {
        failure = std::current_exception();
      }
      if (i == kInterfaceTries || !agent->is_open()) std::rethrow_exception(failure);
      co_await pause_for(kInterfacePause);
    }
  }
  if (!plan_.neighbours.empty()) co_await agent->add_neighbours(plan_.neighbours);
  if (!plan_.routes.empty()) co_await agent->update_routes(plan_.routes);
}

Awaitable<> Network::release() {
  nics_.clear();
  listeners_.reset();
  const std::vector<Trace> traces = std::exchange(traces_, {});
  if (traces.empty()) co_return;
  co_await in_thread([&] {
    Teardown teardown = logging_teardown(config_.netns);
    undo_in(config_.netns, *id_, traces, teardown);
  });
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
