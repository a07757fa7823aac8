// The coroutine types of the project: Boost.Asio awaitables on one thread per process.
#pragma once

#include <chrono>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace kata {

namespace asio = boost::asio;

template <typename T = void>
using Awaitable = asio::awaitable<T>;

using Duration = std::chrono::steady_clock::duration;
using TimePoint = std::chrono::steady_clock::time_point;

}  // namespace kata
