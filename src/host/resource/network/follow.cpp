// How a running VM follows the links of its pod's namespace.
#include <algorithm>
#include <set>
#include <utility>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "host/resource/network/network.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/linux/netlink.h"
#include "lib/log/log.h"

namespace kata::network {
namespace {

// A link comes with a dozen messages: link, state, addresses, routes.
constexpr std::chrono::milliseconds kSettle{30};

// Without what the kernel makes by itself at each end.
std::set<std::string> told_addresses(const agent::Interface& interface) {
  std::set<std::string> all;
  for (const agent::IpAddress& address : interface.addresses) {
    if (!address.address.starts_with("fe80:"))
      all.insert(address.address + "/" + std::to_string(address.prefix));
  }
  return all;
}

bool differs(const agent::Interface& told, const agent::Interface& now) {
  return told.mtu != now.mtu || told_addresses(told) != told_addresses(now);
}

std::set<std::string> told_routes(const Plan& plan) {
  std::set<std::string> all;
  for (const agent::Route& route : plan.routes)
    all.insert(route.destination + "|" + route.gateway + "|" + route.device + "|" + route.source);
  return all;
}

}  // namespace

Awaitable<> Network::follow(std::shared_ptr<agent::AgentClient> agent, vmm::NicPlug* plug) {
  const auto executor = co_await asio::this_coro::executor;
  if (!monitor_) co_return;
  busy_ = std::make_shared<AsyncMutex>(executor);
  asio::posix::stream_descriptor monitor(executor, monitor_.release());
  while (!released_) {
    co_await monitor.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    co_await pause_for(kSettle);
    kernel::drain_monitor(monitor.native_handle());
    const auto busy = busy_;
    const auto lock = co_await busy->lock();
    if (released_) co_return;
    try {
      co_await catch_up(*agent, plug);
    } catch (const Error& error) {
      log::warning("the pod's network changed, the guest's does not follow", {{"error", error.message()}});
    }
  }
}

Awaitable<> Network::catch_up(agent::AgentClient& agent, vmm::NicPlug* plug) {
  Picture picture;
  bool gone = false;
  auto look = [&] {
    gone = !enter_netns(config_.netns, id_);
    if (!gone) picture = real_net_kernel()->picture();
  };
  co_await in_network_thread(std::move(look));
  if (gone) co_return;
  const Plan now = plan_network(picture);
  bool changed = told_routes(now) != told_routes(plan_);
  for (size_t i = nics_.size(); i-- > 0;) {
    const int index = nics_[i].endpoint.index;
    if (std::ranges::find(picture.links, index, &kernel::Link::index) != picture.links.end()) continue;
    co_await drop_link(i, agent, plug);
    changed = true;
  }
  for (const Endpoint& endpoint : now.endpoints) {
    const auto known =
        std::ranges::find(nics_, endpoint.index, [](const Nic& nic) { return nic.endpoint.index; });
    if (known == nics_.end()) {
      const bool added = co_await add_link(endpoint, agent, plug);
      changed = changed || added;
    } else if (differs(known->endpoint.interface, endpoint.interface)) {
      known->endpoint.interface.addresses = endpoint.interface.addresses;
      known->endpoint.interface.mtu = endpoint.interface.mtu;
      const agent::Interface interface = known->endpoint.interface;
      co_await tell_interface(agent, interface);
      changed = true;
    }
  }
  plan_.routes = now.routes;
  if (changed) co_await tell_routes(now, agent);
}

Awaitable<bool> Network::add_link(const Endpoint& endpoint, agent::AgentClient& agent, vmm::NicPlug* plug) {
  if (given_up_.contains(endpoint.index)) co_return false;
  std::vector<Nic> made;
  Plan plan;
  plan.endpoints.push_back(endpoint);
  std::exception_ptr failure;
  try {
    if (plug == nullptr)
      throw Error(Code::kUnimplemented, "no NIC can be plugged into a running VM of this kind");
    auto connecting = [&] {
      if (enter_netns(config_.netns, id_)) made = connect(plan);
    };
    co_await in_network_thread(std::move(connecting));
    if (made.empty()) co_return false;
    co_await plug_nic(made.front(), agent, plug);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    log::info("link of the pod added to the running VM", {{"link", endpoint.link}, {"nic", made.front().id}});
    nics_.push_back(std::move(made.front()));
    save({});
    co_return true;
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  given_up_.insert(endpoint.index);
  log::warning("link of the pod cannot be added to the running VM",
               {{"link", endpoint.link}, {"error", to_error(failure).message()}});
  for (Nic& nic : made) {
    nic.queues.clear();
    co_await undo_traces(nic.traces);
  }
  save({});
  co_return false;
}

Awaitable<> Network::plug_nic(Nic& nic, agent::AgentClient& agent, vmm::NicPlug* plug) {
  vmm::NicSpec spec = spec_of(nic);
  nic.endpoint.interface.device_path = co_await plug->add_nic(std::move(spec));
  nic.plugged = true;
  nic.queues.clear();
  nic.vhost.clear();
  std::exception_ptr failure;
  try {
    co_await tell_interface(agent, nic.endpoint.interface);
    // Known by its address from now on.
    nic.endpoint.interface.device_path.clear();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await plug->remove_nic(nic.id);
  std::rethrow_exception(failure);
}

Awaitable<> Network::drop_link(size_t number, agent::AgentClient& agent, vmm::NicPlug* plug) {
  const auto at = nics_.begin() + static_cast<ptrdiff_t>(number);
  const Nic nic = std::move(*at);
  nics_.erase(at);
  try {
    if (nic.plugged) {
      co_await plug->remove_nic(nic.id);
    } else {
      // It is on the root bus, which gives nothing back: the guest keeps a link without addresses.
      agent::Interface empty = nic.endpoint.interface;
      empty.addresses.clear();
      co_await agent.update_interface(std::move(empty));
    }
    log::info("link of the pod taken out of the running VM", {{"link", nic.endpoint.link}});
  } catch (const Error& error) {
    log::warning("link of the pod is gone, its NIC stays",
                 {{"link", nic.endpoint.link}, {"error", error.message()}});
  }
  co_await undo_traces(nic.traces);
  save({});
}

Awaitable<> Network::tell_routes(const Plan& now, agent::AgentClient& agent) const {
  const auto told = [this](const std::string& link) {
    return std::ranges::any_of(nics_, [&](const Nic& nic) { return nic.endpoint.interface.device == link; });
  };
  std::vector<agent::Neighbour> neighbours = now.neighbours;
  std::erase_if(neighbours, [&](const agent::Neighbour& neighbour) { return !told(neighbour.device); });
  std::vector<agent::Route> routes = now.routes;
  std::erase_if(routes, [&](const agent::Route& route) { return !told(route.device); });
  if (!neighbours.empty()) co_await agent.add_neighbours(std::move(neighbours));
  if (!routes.empty()) co_await agent.update_routes(std::move(routes));
}

}  // namespace kata::network
