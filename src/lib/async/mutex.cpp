#include "lib/async/mutex.h"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace kata {

AsyncMutex::AsyncMutex(const asio::any_io_executor& executor)
    : released_(executor, asio::steady_timer::time_point::max()) {}

Awaitable<AsyncMutex::Lock> AsyncMutex::lock() {
  while (held_) {
    boost::system::error_code error;
    co_await released_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
  held_ = true;
  co_return Lock(this);
}

void AsyncMutex::unlock() {
  held_ = false;
  released_.cancel_one();
}

}  // namespace kata
