// Messages of one stream between the connection, which must never wait, and the coroutine that receives them.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/error/error.h"

namespace kata::ttrpc {

class StreamInbox {
 public:
  static constexpr size_t kMaxMessages = 1024;
  static constexpr size_t kMaxBytes = size_t{16} << 20;
  enum class Taken { kYes, kFull };

  explicit StreamInbox(const asio::any_io_executor& executor);

  Taken push(std::string message);
  // The first of these counts; messages that came before are still received.
  void end();
  void fail(Error error);
  [[nodiscard]] bool ended() const { return ended_; }
  // See Stream::receive. The inbox must outlive the call.
  Awaitable<std::optional<std::string>> receive();

 private:
  std::deque<std::string> messages_;
  size_t bytes_ = 0;
  bool ended_ = false;
  std::optional<Error> error_;
  asio::steady_timer changed_;
};

// What a stream ends with when its receiver does not keep up.
Error inbox_full_error();

}  // namespace kata::ttrpc
