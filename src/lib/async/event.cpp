#include "lib/async/event.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace kata {

Event::Event(const asio::any_io_executor& executor)
    : timer_(executor, asio::steady_timer::time_point::max()) {}

void Event::set() {
  set_ = true;
  timer_.cancel();
}

Awaitable<> Event::wait() {
  if (set_) co_return;
  boost::system::error_code error;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
  // Both set() and a cancelled waiter end the wait; only the latter is an error.
  if (!set_) throw boost::system::system_error(error);
}

}  // namespace kata
