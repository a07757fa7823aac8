#include "host/resource/network/port_forward.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/accept.h"
#include "lib/async/both.h"
#include "lib/async/deadline.h"
#include "lib/async/relay.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/socket_lookup.h"
#include "lib/log/log.h"

namespace kata::network {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr int kBacklog = 128;
constexpr size_t kMostConnections = 256;
constexpr Duration kReachLimit = 15s;

UniqueFd listen_on_loopback(int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_addr = in6addr_loopback;
  const bool six = family == AF_INET6;
  const auto* const address =
      six ? reinterpret_cast<const sockaddr*>(&ipv6) : reinterpret_cast<const sockaddr*>(&ipv4);
  if (!fd || ::bind(fd.get(), address, six ? sizeof ipv6 : sizeof ipv4) != 0 ||
      ::listen(fd.get(), kBacklog) != 0)
    throw_errno("listening in the pod's network namespace");
  return fd;
}

// What the guest is asked: 16 bytes of an IPv6 address (IPv4 mapped), the port, in network order.
using Request = std::array<unsigned char, 18>;

Request request_for(const sockaddr_storage& target) {
  Request request{};
  if (target.ss_family == AF_INET6) {
    sockaddr_in6 address{};
    std::memcpy(&address, &target, sizeof address);
    std::memcpy(request.data(), &address.sin6_addr, 16);
    std::memcpy(request.data() + 16, &address.sin6_port, 2);
    return request;
  }
  sockaddr_in address{};
  std::memcpy(&address, &target, sizeof address);
  request[10] = request[11] = 0xff;
  std::memcpy(request.data() + 12, &address.sin_addr, 4);
  std::memcpy(request.data() + 16, &address.sin_port, 2);
  return request;
}

struct Reached {
  std::optional<StreamSocket> guest;
  // 0 or the guest's errno.
  int refused = 0;
};

Awaitable<> reach(Reached& reached, vsock::GuestDialer& dialer, const Request& request) {
  reached.guest = co_await dialer.connect(kForwardPort);
  co_await asio::async_write(*reached.guest, asio::buffer(request), asio::use_awaitable);
  unsigned char answer = 0;
  co_await asio::async_read(*reached.guest, asio::buffer(&answer, 1), asio::use_awaitable);
  reached.refused = answer;
}

Awaitable<> forward(StreamSocket client, std::shared_ptr<vsock::GuestDialer> dialer) {
  sockaddr_storage target{};
  socklen_t length = sizeof target;
  if (::getsockname(client.native_handle(), reinterpret_cast<sockaddr*>(&target), &length) != 0)
    throw_errno("asking where a connection to the pod was made to");
  const Request request = request_for(target);
  Reached reached;
  std::string reason;
  try {
    co_await with_deadline(reach(reached, *dialer, request), kReachLimit, "reaching the guest");
    if (reached.refused != 0) reason = std::strerror(reached.refused);
  } catch (...) {
    reason = to_error(std::current_exception()).message();
  }
  if (!reason.empty()) {
    // As near as TCP lets us come to what the client would see of a port that nobody listens on.
    close_with_reset(client);
    log::info("connection to the pod not forwarded", {{"error", reason}});
    co_return;
  }
  co_await relay(std::move(client), std::move(*reached.guest));
}

}  // namespace

PodListeners listen_everywhere() {
  PodListeners listeners;
  listeners.ipv4 = listen_on_loopback(AF_INET);
  try {
    listeners.ipv6 = listen_on_loopback(AF_INET6);
  } catch (const Error&) {
    listeners.ipv6.reset();  // a namespace without IPv6
  }
  const UniqueFd netns = open_file("/proc/thread-self/ns/net", O_RDONLY);
  listeners.link = kernel::take_all_connections(netns.get(), listeners.ipv4.get(),
                                                listeners.ipv6 ? listeners.ipv6.get() : -1);
  return listeners;
}

PortForward::PortForward(asio::any_io_executor executor, PodListeners listeners,
                         std::shared_ptr<vsock::GuestDialer> dialer)
    : executor_(std::move(executor)),
      listeners_(std::move(listeners)),
      dialer_(std::move(dialer)),
      connections_(executor_, [](std::string_view, const Error& error) {
        log::info("connection to the pod", {{"error", error.message()}});
      }) {}

Awaitable<> PortForward::run() {
  struct End {
    PortForward& self;
    ~End() {
      self.listeners_ = {};
      self.connections_.cancel();
    }
  } const end{.self = *this};
  const int ipv6 = listeners_.ipv6 ? listeners_.ipv6.release() : -1;
  if (ipv6 < 0) {
    co_await accept_from(listeners_.ipv4.release());
  } else {
    co_await both(accept_from(listeners_.ipv4.release()), accept_from(ipv6));
  }
}

Awaitable<> PortForward::accept_from(int listener) {
  asio::posix::stream_descriptor descriptor(executor_, listener);
  for (;;) {
    Connection client = co_await accept_next(descriptor);
    if (connections_.size() >= kMostConnections) {
      log::warning("connection to the pod refused: too many are open");
      continue;
    }
    StreamSocket socket(executor_);
    socket.assign(asio::generic::stream_protocol(client.peer.ss_family, IPPROTO_TCP),
                  client.socket.release());
    connections_.spawn("connection to the pod", forward(std::move(socket), dialer_));
  }
}

}  // namespace kata::network
