// The network of a pod: its namespace read, its links connected with NICs of the VM, all of it undone at the
// end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/agent/agent_client.h"
#include "host/resource/network/netns.h"
#include "host/resource/network/port_forward.h"
#include "host/resource/network/wiring.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"

namespace kata::network {

struct NetworkConfig {
  // Path of the pod's network namespace; empty: the pod has none that anybody could have filled.
  std::string netns;
  Model model = Model::kTcFilter;
  // Queues per NIC, at least 1.
  size_t queues = 1;
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
  // Undoes everything, after the end of the VM; a namespace that is gone needs nothing. Warnings for what
  // could not be undone. Idempotent.
  Awaitable<> release();

  // The same by the journal of a crashed process. Changes the namespace of the calling thread: for a child
  // process.
  static void clean_up(const std::string& journal, Teardown& teardown);

 private:
  struct Nic {
    std::vector<UniqueFd> queues, vhost;
  };

  void wire_in_thread();
  void listen_in_thread();
  void save(const std::vector<Trace>& traces);

  NetworkConfig config_;
  std::optional<NetnsId> id_;
  Plan plan_;
  std::vector<Nic> nics_;
  std::optional<PodListeners> listeners_;
  std::vector<Trace> traces_;
};

}  // namespace kata::network
