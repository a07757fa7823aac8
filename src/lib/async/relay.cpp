#include "lib/async/relay.h"

#include <memory>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/write.hpp>

namespace kata {
namespace {

using Socket = asio::generic::stream_protocol::socket;

constexpr size_t kChunk = size_t{64} << 10;

// Throws when either side breaks.
Awaitable<> copy(Socket& from, Socket& to) {
  const auto buffer = std::make_unique<std::array<char, kChunk>>();
  for (;;) {
    boost::system::error_code error;
    const size_t size = co_await from.async_read_some(asio::buffer(*buffer),
                                                      asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::eof) break;
    if (error) throw boost::system::system_error(error);
    const auto part = asio::buffer(buffer->data(), size);
    co_await asio::async_write(to, part, asio::use_awaitable);
  }
  boost::system::error_code ignored;
  to.shutdown(Socket::shutdown_send, ignored);
}

}  // namespace

void close_with_reset(Socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

Awaitable<> relay(Socket one, Socket other) {
  const auto executor = co_await asio::this_coro::executor;
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor, copy(one, other), asio::deferred),
                                              asio::co_spawn(executor, copy(other, one), asio::deferred));
  auto [order, there, back] =
      co_await group.async_wait(asio::experimental::wait_for_one_error(), asio::use_awaitable);
  if (!there && !back) co_return;
  close_with_reset(one);
  close_with_reset(other);
}

}  // namespace kata
