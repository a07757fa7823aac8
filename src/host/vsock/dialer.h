// The way to the guest: connects to a port of a VM, whatever carries the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/async/awaitable.h"
#include "lib/ttrpc/socket.h"

namespace kata::vsock {

// How the pauses between attempts grow: doubling where a failed attempt costs the guest something, constant
// where it is answered on the host.
enum class Backoff { kConstant, kDoubling };

class GuestDialer {
 public:
  virtual ~GuestDialer() = default;
  // One attempt, without a deadline of its own (non-blocking, cancellable). Throws kUnavailable while nobody
  // listens there yet. The socket is close-on-exec and non-blocking.
  virtual Awaitable<StreamSocket> connect(uint32_t port) = 0;
  // "vsock://<cid>:<port>", "hvsock://<path>:<port>" or "remote://<path>:<port>": what other processes can
  // dial.
  [[nodiscard]] virtual std::string url(uint32_t port) const = 0;
  // Whether the port chooses whom one reaches.
  [[nodiscard]] virtual bool reaches_ports() const { return true; }
  [[nodiscard]] virtual Backoff backoff() const { return Backoff::kConstant; }
};

// AF_VSOCK to a context id (vhost-vsock).
std::shared_ptr<GuestDialer> make_vsock_dialer(uint32_t cid);
// Hybrid form: connect to a Unix socket, "CONNECT <port>\n", one answer line that must contain OK, then the
// raw stream. A peer that closes without an answer has no listener yet: kUnavailable. No byte behind the
// answer line is read.
std::shared_ptr<GuestDialer> make_hybrid_dialer(std::string socket_path);
// A plain Unix socket that is the agent itself: the port is ignored.
std::shared_ptr<GuestDialer> make_remote_dialer(std::string socket_path);

// Tries again until `total` is over: first pause `pause`, doubling up to 500 ms for vsock, constant for
// hybrid sockets. (B19: the caller has already lifted `total` to its floor.) Throws kDeadlineExceeded with
// the last attempt's reason; any error but kUnavailable passes through at once. Cancellable at any time.
Awaitable<StreamSocket> connect_with_retry(std::shared_ptr<GuestDialer> dialer, uint32_t port, Duration pause,
                                           Duration total);

}  // namespace kata::vsock
