// Listens to the kernel's device events.
#pragma once

#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "guest/device/uevent.h"
#include "lib/async/awaitable.h"
#include "lib/async/event.h"

namespace kata::device {

// Every memory block that appears is set online at once. Other events only wake those who wait for a device:
// they look into sysfs themselves, so that a device that was there before is found as well and a lost event
// costs nothing.
class UeventWatcher {
 public:
  explicit UeventWatcher(asio::any_io_executor executor);

  // Opens the socket. Throws Error.
  void start();
  void stop();

  // Set at the next event after this call: take it, look, then wait.
  [[nodiscard]] std::shared_ptr<Event> next_event() const { return changed_; }
  // What an event does; the socket calls it, and tests do.
  void handle(const Uevent& event);

 private:
  void wait_readable();
  void read_all();

  asio::any_io_executor executor_;
  asio::posix::stream_descriptor socket_;
  std::shared_ptr<Event> changed_;
};

}  // namespace kata::device
