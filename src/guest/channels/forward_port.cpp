#include "guest/channels/forward_port.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/accept.h"
#include "lib/async/deadline.h"
#include "lib/async/relay.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::channels {
namespace {

using Protocol = asio::generic::stream_protocol;

constexpr size_t kMostForwards = 256;
constexpr std::chrono::seconds kRequestLimit{5};
constexpr std::chrono::seconds kConnectLimit{10};

using Request = std::array<unsigned char, 18>;

Protocol::endpoint target_of(const Request& request) {
  in6_addr address{};
  std::memcpy(&address, request.data(), 16);
  if (!IN6_IS_ADDR_V4MAPPED(&address)) {
    sockaddr_in6 target{};
    target.sin6_family = AF_INET6;
    target.sin6_addr = address;
    std::memcpy(&target.sin6_port, request.data() + 16, 2);
    return {&target, sizeof target};
  }
  sockaddr_in target{};
  target.sin_family = AF_INET;
  std::memcpy(&target.sin_addr, request.data() + 12, 4);
  std::memcpy(&target.sin_port, request.data() + 16, 2);
  return {&target, sizeof target};
}

// Returns 0 or an errno.
Awaitable<int> connect(Protocol::socket& socket, const Protocol::endpoint& target) {
  boost::system::error_code error;
  socket.open(Protocol(target.data()->sa_family, IPPROTO_TCP), error);
  if (!error) co_await socket.async_connect(target, asio::redirect_error(asio::use_awaitable, error));
  co_return error ? error.value() : 0;
}

Awaitable<> serve(UniqueFd connection, std::shared_ptr<size_t> open) {
  struct Leave {
    std::shared_ptr<size_t> open;
    ~Leave() { --*open; }
  } const leave{.open = open};
  const auto executor = co_await asio::this_coro::executor;
  Protocol::socket host(executor), inside(executor);
  host.assign(Protocol(AF_VSOCK, 0), connection.release());
  Request request{};
  const auto read = [&]() -> Awaitable<> {
    co_await asio::async_read(host, asio::buffer(request), asio::use_awaitable);
  };
  co_await with_deadline(read(), kRequestLimit, "request of a port-forward");
  int error = ETIMEDOUT;
  try {
    error = co_await with_deadline(connect(inside, target_of(request)), kConnectLimit, "port-forward");
  } catch (const Error&) {
    error = ETIMEDOUT;
  }
  const auto answer = static_cast<unsigned char>(error);
  co_await asio::async_write(host, asio::buffer(&answer, 1), asio::use_awaitable);
  if (error == 0) co_await relay(std::move(host), std::move(inside));
}

}  // namespace

Awaitable<> serve_forwards(UniqueFd listener, TaskGroup& tasks) {
  asio::posix::stream_descriptor descriptor(co_await asio::this_coro::executor, listener.release());
  const auto open = std::make_shared<size_t>(0);
  for (;;) {
    UniqueFd socket = (co_await accept_next(descriptor)).socket;
    if (*open >= kMostForwards) {
      log::warning("port-forward refused: too many are open");
      continue;
    }
    ++*open;
    tasks.spawn("port-forward", serve(std::move(socket), open));
  }
}

}  // namespace kata::channels
