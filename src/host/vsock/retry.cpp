#include <algorithm>
#include <chrono>
#include <optional>

#include "host/vsock/dialer.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"

namespace kata::vsock {
namespace {

using std::chrono::milliseconds;
constexpr Duration kShortestPause = milliseconds(1);
constexpr Duration kFirstDoublingPause = milliseconds(10);
constexpr Duration kLongestPause = milliseconds(500);

[[noreturn]] void throw_late(const GuestDialer& dialer, uint32_t port, Duration total,
                             const std::optional<Error>& last) {
  std::string message = "reaching the guest at " + dialer.url(port) + ": not done within " +
                        duration_text(total) + "; last attempt: ";
  message += last ? last->message() : "still waiting for an answer";
  throw Error(Code::kDeadlineExceeded, message);
}

// A socket cannot be default constructed, which results of awaitables that race must.
Awaitable<std::optional<StreamSocket>> attempt(std::shared_ptr<GuestDialer> dialer, uint32_t port) {
  co_return co_await dialer->connect(port);
}

}  // namespace

Awaitable<StreamSocket> connect_with_retry(std::shared_ptr<GuestDialer> dialer, uint32_t port, Duration pause,
                                           Duration total) {
  const TimePoint deadline = std::chrono::steady_clock::now() + total;
  const bool doubling = dialer->backoff() == Backoff::kDoubling;
  pause = doubling ? std::clamp<Duration>(pause, kFirstDoublingPause, kLongestPause)
                   : std::max(pause, kShortestPause);
  std::optional<Error> last;
  while (true) {
    const Duration left = deadline - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) throw_late(*dialer, port, total, last);
    try {
      std::optional<StreamSocket> socket =
          co_await with_deadline(attempt(dialer, port), left, "answer of the guest");
      co_return std::move(*socket);
    } catch (const Error& error) {
      if (error.code() == Code::kDeadlineExceeded) throw_late(*dialer, port, total, last);
      if (error.code() != Code::kUnavailable) throw;
      last = error;
    }
    co_await pause_for(
        std::clamp<Duration>(deadline - std::chrono::steady_clock::now(), Duration::zero(), pause));
    if (doubling) pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace kata::vsock
