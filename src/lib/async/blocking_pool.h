// Threads for calls that block: file work, namespace switches, look-ups in slow file systems.
#pragma once

#include <memory>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>

#include "lib/async/awaitable.h"

namespace kata {

// The threads start at the first call, so that a program that never blocks has none. A call in a pool thread
// can be neither cancelled nor limited: what can hang in the kernel belongs into a child process
// (child_process.h).
class BlockingPool {
 public:
  explicit BlockingPool(size_t threads = 1) : threads_(threads) {}

  // Runs `body` in a pool thread; the coroutine continues on its own executor with the result or the
  // exception.
  template <typename Body>
  auto run(Body body) -> Awaitable<decltype(body())> {
    if (!pool_) pool_ = std::make_unique<asio::thread_pool>(threads_);
    return invoke(pool_->get_executor(), std::move(body));
  }

 private:
  template <typename Body>
  static auto invoke(asio::thread_pool::executor_type executor, Body body) -> Awaitable<decltype(body())> {
    auto call = [](Body inner) -> Awaitable<decltype(body())> { co_return inner(); };
    co_return co_await asio::co_spawn(executor, call(std::move(body)), asio::use_awaitable);
  }

  size_t threads_;
  std::unique_ptr<asio::thread_pool> pool_;
};

}  // namespace kata
