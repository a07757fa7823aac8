// What connects to a port of the pod's namespace on the node (a port-forward of the CRI does: it enters the
// namespace and connects to localhost) reaches the same address and port inside the guest.
#pragma once

#include <cstdint>
#include <memory>

#include "host/vsock/dialer.h"
#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"
#include "lib/fd/unique_fd.h"

namespace kata::network {

// The vsock port on which the guest takes such connections, told to it on its command line.
inline constexpr uint32_t kForwardPort = 1030;
inline constexpr const char* kForwardParameter = "agent.forward_vport";

// Sockets that get every TCP connection to an address of the namespace; nothing of it stays when they are
// closed.
struct PodListeners {
  // Non-blocking; ipv6 is empty where the namespace has none.
  UniqueFd ipv4, ipv6;
  UniqueFd link;
};

// For a thread inside the pod's namespace. Throws with errno when the node's kernel cannot do it.
PodListeners listen_everywhere();

// Serves until run() is cancelled: then the listeners and all connections end.
class PortForward {
 public:
  PortForward(asio::any_io_executor executor, PodListeners listeners,
              std::shared_ptr<vsock::GuestDialer> dialer);
  Awaitable<> run();

 private:
  Awaitable<> accept_from(int listener);

  asio::any_io_executor executor_;
  PodListeners listeners_;
  std::shared_ptr<vsock::GuestDialer> dialer_;
  TaskGroup connections_;
};

}  // namespace kata::network
