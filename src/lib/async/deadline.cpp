#include "lib/async/deadline.h"

namespace kata {

std::string duration_text(Duration duration) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (milliseconds < 1000) return std::to_string(milliseconds) + " ms";
  std::string text = std::to_string(milliseconds / 1000);
  const auto tenths = milliseconds % 1000 / 100;
  if (tenths != 0) text += "." + std::to_string(tenths);
  return text + " s";
}

void throw_deadline_exceeded(const std::string& what, Duration limit) {
  throw Error(Code::kDeadlineExceeded, what + ": not done within " + duration_text(limit));
}

Awaitable<> pause_for(Duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace kata
