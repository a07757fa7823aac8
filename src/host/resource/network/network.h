// The network of a pod: its namespace read, its links connected with NICs of the VM, all of it undone at the
// end.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/agent/agent_client.h"
#include "host/resource/network/netns.h"
#include "host/resource/network/port_forward.h"
#include "host/resource/network/wiring.h"
#include "host/vmm/nic_plug.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"
#include "lib/async/mutex.h"

namespace kata::network {

struct NetworkConfig {
  // Path of the pod's network namespace; empty: the pod has none that anybody could have filled.
  std::string netns;
  Model model = Model::kTcFilter;
  // Queues per NIC, at least 1.
  size_t queues = 1;
  RateLimits limits = {};
  // If there is a file at this path, the pod's NICs are what it says, and no namespace is read (direct.h).
  struct Direct {
    std::string file = {};
    // Per NIC that does not say.
    size_t queues = 1;
  };
  Direct direct = {};
  enum class VhostNet { kIfThere, kNever };
  VhostNet vhost_net = VhostNet::kIfThere;
  // File that tells what must be undone after a crash.
  std::string journal;
};

class Network {
 public:
  explicit Network(NetworkConfig config) : config_(std::move(config)) {}

  // Reads the namespace and connects its links. Without a namespace of its own, and with an empty one, the
  // pod has no NIC. On failure nothing is left.
  Awaitable<> prepare();
  // What the VM gets; the descriptors stay this object's until vmm_started().
  [[nodiscard]] std::vector<vmm::NicSpec> nics() const;
  // What is connected to in the pod's namespace on the node; none where the kernel cannot tell or it was
  // taken.
  [[nodiscard]] bool has_listeners() const { return listeners_.has_value(); }
  std::optional<PodListeners> take_listeners() { return std::exchange(listeners_, std::nullopt); }
  // The VMM holds the taps now: they end with it.
  void vmm_started();
  // Interfaces, neighbours, routes. A NIC that the guest has not found yet is asked for again, ten times in a
  // second.
  Awaitable<> tell_guest(std::shared_ptr<agent::AgentClient> agent) const;
  // Whether the namespace can change while the VM runs: then follow() can be called.
  [[nodiscard]] bool can_follow() const { return static_cast<bool>(monitor_); }
  // Until cancelled: links that appear in the namespace become NICs of the running VM, those that vanish go,
  // changed addresses and routes are told. `plug` null: new links are only warned of. What fails is logged,
  // and a link that failed is not tried again.
  Awaitable<> follow(std::shared_ptr<agent::AgentClient> agent, vmm::NicPlug* plug);
  // Undoes everything, after the end of the VM; a namespace that is gone needs nothing. Warnings for what
  // could not be undone. Idempotent.
  Awaitable<> release();

  // The same by the journal of a crashed process. Changes the namespace of the calling thread: for a child
  // process.
  static void clean_up(const std::string& journal, Teardown& teardown);

 private:
  struct Nic {
    // Of the VMM's device.
    std::string id;
    Endpoint endpoint;
    std::vector<UniqueFd> queues, vhost;
    std::vector<Trace> traces;
    // Plugged into the running VM, so it can be taken out again.
    bool plugged = false;
  };

  Awaitable<> prepare_direct();
  void wire_in_thread();
  void listen_in_thread();
  // Connects the links of `plan`; in a thread inside the namespace.
  std::vector<Nic> connect(const Plan& plan);
  // Writes the journal: what the NICs left and what is being made.
  void save(const std::vector<Trace>& further);
  static vmm::NicSpec spec_of(const Nic& nic);
  Awaitable<> undo_traces(std::vector<Trace> traces);

  // follow.cpp
  Awaitable<> catch_up(agent::AgentClient& agent, vmm::NicPlug* plug);
  Awaitable<bool> add_link(const Endpoint& endpoint, agent::AgentClient& agent, vmm::NicPlug* plug);
  Awaitable<> plug_nic(Nic& nic, agent::AgentClient& agent, vmm::NicPlug* plug);
  Awaitable<> drop_link(size_t number, agent::AgentClient& agent, vmm::NicPlug* plug);
  Awaitable<> tell_routes(const Plan& now, agent::AgentClient& agent) const;

  NetworkConfig config_;
  std::optional<NetnsId> id_;
  Plan plan_;
  std::vector<Nic> nics_;
  // Of the next link that is connected; none is used twice.
  size_t next_number_ = 0;
  // Traces in the journal that no NIC has yet.
  std::vector<Trace> unowned_;
  std::optional<PodListeners> listeners_;
  // Readable when something changed in the namespace.
  UniqueFd monitor_;
  // Indexes of links that cannot be had.
  std::set<int> given_up_;
  // Held while the namespace is worked on.
  std::shared_ptr<AsyncMutex> busy_;
  bool released_ = false;
};

// Says it again while the guest has not found the NIC yet, ten times in a second.
Awaitable<> tell_interface(agent::AgentClient& agent, const agent::Interface& interface);

// Runs `body` in a thread of its own, which ends afterwards: its namespaces go with it.
Awaitable<> in_network_thread(std::function<void()> body);

}  // namespace kata::network
