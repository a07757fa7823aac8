#include "lib/async/accept.h"

#include <cerrno>

#include "lib/async/deadline.h"

namespace kata {
namespace {

constexpr std::chrono::milliseconds kPauseAfterFailure{100};

}  // namespace

Awaitable<Connection> accept_next(asio::posix::stream_descriptor& listener) {
  for (;;) {
    co_await listener.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    Connection next{.socket = {}, .peer = {}};
    socklen_t size = sizeof next.peer;
    next.socket = UniqueFd(::accept4(listener.native_handle(), reinterpret_cast<sockaddr*>(&next.peer), &size,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (next.socket) co_return next;
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) co_await pause_for(kPauseAfterFailure);
  }
}

}  // namespace kata
