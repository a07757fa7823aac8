#include "lib/async/unless.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

namespace kata {

Awaitable<bool> unless(Event& event, Awaitable<> operation) {
  if (event.is_set()) co_return false;
  const auto executor = co_await asio::this_coro::executor;
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor, std::move(operation), asio::deferred),
                                              asio::co_spawn(executor, event.wait(), asio::deferred));
  auto [order, failed, event_failed] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && !event_failed) co_return false;
  if (failed) std::rethrow_exception(failed);
  co_return true;
}

}  // namespace kata
