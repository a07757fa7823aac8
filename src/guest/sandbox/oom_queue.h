// OOM kills on their way to the host: each is delivered once, to whoever asks first.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/event.h"

namespace kata::sandbox {

class OomQueue {
 public:
  explicit OomQueue(asio::any_io_executor executor);

  // Nobody asking is no loss: up to a thousand events wait. Beyond that a container that is in the queue
  // already is not added again.
  void push(const std::string& container_id);
  // The id of the next container; waits for it. kUnavailable once closed.
  Awaitable<std::string> next();
  // Returns when whoever asks has been given all there is; at once when nobody asks.
  Awaitable<> handed_over();
  // Wakes all who wait, with an error.
  void close();

 private:
  void wake();

  asio::any_io_executor executor_;
  std::deque<std::string> events_;
  std::shared_ptr<Event> changed_;
  size_t asking_ = 0;
  bool closed_ = false;
};

}  // namespace kata::sandbox
