// Mutual exclusion between coroutines of one thread.
#pragma once

#include <memory>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"

namespace kata {

// Held across co_await. Waiters are cancellable; the order of waiters is not promised.
class AsyncMutex {
 public:
  // Releases on destruction. The mutex must outlive it.
  class Lock {
   public:
    explicit Lock(AsyncMutex* mutex) : mutex_(mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (mutex_ != nullptr) mutex_->unlock();
    }

   private:
    AsyncMutex* mutex_;
  };

  explicit AsyncMutex(const asio::any_io_executor& executor);
  Awaitable<Lock> lock();

 private:
  void unlock();

  asio::steady_timer released_;
  bool held_ = false;
};

}  // namespace kata
