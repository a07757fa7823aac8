#include "lib/async/both.h"

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

namespace kata {

Awaitable<> both(Awaitable<> first, Awaitable<> second) {
  const auto executor = co_await asio::this_coro::executor;
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor, std::move(first), asio::deferred),
                                              asio::co_spawn(executor, std::move(second), asio::deferred));
  auto [order, error1, error2] =
      co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  if (error1) std::rethrow_exception(error1);
  if (error2) std::rethrow_exception(error2);
}

}  // namespace kata
