#include "host/shim/detached_call.h"

#include <exception>
#include <memory>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"

namespace kata::shim {
namespace {

// A call on its way, with or without somebody who waits for it.
struct Running {
  explicit Running(const asio::any_io_executor& executor) : waiter(executor) {}
  asio::steady_timer waiter;
  bool ended = false;
  std::exception_ptr failed;
  std::string answer;
};

}  // namespace

Awaitable<std::string> run_to_the_end(Awaitable<std::string> call, Duration limit, std::string what) {
  const auto executor = co_await asio::this_coro::executor;
  const auto running = std::make_shared<Running>(executor);
  running->waiter.expires_at(limit == kNoLimit ? TimePoint::max() : std::chrono::steady_clock::now() + limit);
  asio::co_spawn(executor, std::move(call), [running](const std::exception_ptr& failed, std::string answer) {
    running->ended = true;
    running->failed = failed;
    running->answer = std::move(answer);
    running->waiter.cancel();
  });
  boost::system::error_code woken;
  if (!running->ended) co_await running->waiter.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (running->failed) std::rethrow_exception(running->failed);
  if (running->ended) co_return std::move(running->answer);
  if (!woken) throw_deadline_exceeded(what, limit);
  throw Error(Code::kCancelled, what + ": nobody waits for the answer any more");
}

}  // namespace kata::shim
