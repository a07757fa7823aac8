#include "lib/async/deadline.h"

#include <array>
#include <cstdio>

namespace kata {

std::string duration_text(Duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (milliseconds < 1000) return std::to_string(milliseconds) + " ms";
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3g s", static_cast<double>(milliseconds) / 1000.0);
  return text.data();
}

void throw_deadline_exceeded(const std::string& what, Duration limit) {
  throw Error(Code::kDeadlineExceeded, what + ": not done within " + duration_text(limit));
}

Awaitable<> pause_for(Duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace kata
