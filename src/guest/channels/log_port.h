// The log port: every log line as JSON to everybody who is connected (agent-api, section 10).
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

namespace kata::channels {

// Lines that wait, bounded in bytes: where there is no room the new line is lost and counted. Usable from
// every thread.
class LineQueue {
 public:
  explicit LineQueue(size_t limit) : limit_(limit) {}
  void push(const std::string& line);
  // Everything that waits; then, once, how many lines were lost.
  std::string take();

 private:
  std::mutex mutex_;
  size_t limit_;
  std::string text_;
  size_t lost_ = 0;
};

// Serves a listening socket. Who connects gets the last lines from before, then each new one; who does not
// read loses lines and holds nobody up. A few connections at most: a new one replaces the oldest.
class LogPort {
 public:
  explicit LogPort(asio::any_io_executor executor);

  // The sink for log::set_sink: writes to `console` first, then to the port. Lives on after the port.
  std::unique_ptr<log::Sink> sink(std::unique_ptr<log::Sink> console);
  // Accepts until cancelled; connections run in `tasks`.
  Awaitable<> run(UniqueFd listener, TaskGroup& tasks);

  struct Client;
  struct Shared;

 private:
  static Awaitable<> serve(std::shared_ptr<Shared> shared, std::shared_ptr<Client> client, UniqueFd socket);

  asio::any_io_executor executor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace kata::channels
