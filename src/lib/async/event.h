// A one-way switch that coroutines wait for.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"

namespace kata {

// Set once, stays set; any number of waiters, before and after. One thread.
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor);

  void set();
  [[nodiscard]] bool is_set() const { return set_; }
  // Returns at once when set. Throws operation_aborted when the waiter is cancelled. The event must outlive
  // its waiters.
  Awaitable<> wait();

 private:
  asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace kata
