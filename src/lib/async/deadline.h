// A limit in time for any awaitable.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/error/error.h"

namespace kata {

// "3.5 s" or "20 ms".
std::string duration_text(Duration duration);
[[noreturn]] void throw_deadline_exceeded(const std::string& what, Duration limit);

// Awaits `operation` for at most `limit`, then cancels it and throws kDeadlineExceeded "<what>: not done
// within 3 s". The operation must end when it is cancelled (everything of Asio does): the helper waits for
// that, so nothing of it lives on. An error of the operation and a cancellation from outside pass through.
template <typename T>
Awaitable<T> with_deadline(Awaitable<T> operation, Duration limit, std::string what) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, limit);
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(operation), asio::deferred), timer.async_wait(asio::deferred));
  if constexpr (std::is_void_v<T>) {
    auto [order, error, expired] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (order[0] == 1 && !expired) throw_deadline_exceeded(what, limit);
    if (error) std::rethrow_exception(error);
  } else {
    auto [order, error, result, expired] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (order[0] == 1 && !expired) throw_deadline_exceeded(what, limit);
    if (error) std::rethrow_exception(error);
    co_return std::move(result);
  }
}

// Waits; ends early only when cancelled. Not for synchronisation: for pauses between tries.
Awaitable<> pause_for(Duration duration);

}  // namespace kata
