#include "lib/ttrpc/server_connection.h"

#include <exception>
#include <variant>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

#include "lib/async/deadline.h"
#include "lib/log/log.h"

namespace kata::ttrpc {
namespace {

using boost::system::error_code;
using MethodKind = ServerSession::MethodKind;

// How long the end of a connection waits for handlers that do not react to their cancellation.
constexpr Duration kHandlerPatience = std::chrono::seconds(5);
// How long complete answers may take to be written once the connection ends.
constexpr Duration kFlushPatience = std::chrono::seconds(1);

Error handler_error(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const boost::system::system_error& error) {
    if (error.code() == asio::error::operation_aborted) return {Code::kCancelled, "the call was cancelled"};
    return {Code::kInternal, error.what()};
  } catch (...) {
    return to_error(exception);
  }
}

}  // namespace

MethodKind MethodTable::kind(std::string_view service, std::string_view method) const {
  const auto found = services.find(service);
  if (found == services.end()) return MethodKind::kUnknownService;
  return found->second.contains(method) ? MethodKind::kUnary : MethodKind::kUnknownMethod;
}

ServerConnection::ServerConnection(StreamSocket socket, std::shared_ptr<const MethodTable> methods)
    : methods_(std::move(methods)),
      session_([table = methods_](std::string_view service, std::string_view method) {
        return table->kind(service, method);
      }),
      channel_(std::make_shared<Channel>(std::move(socket), session_.input(), session_.output())),
      idle_(channel_->executor()) {}

ServerConnection::~ServerConnection() {
  channel_->close();
}

Awaitable<> ServerConnection::run() {
  const std::shared_ptr<ServerConnection> self = shared_from_this();
  try {
    co_await read_all();
  } catch (const std::exception& error) {
    log::warning("ttRPC connection ends early", {{"error", error.what()}});
  }
  // Whether the peer closed or this coroutine was cancelled: the end is the same, and takes a bounded time.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await end_handlers();
  co_await channel_->drained(kFlushPatience);
  channel_->close();
}

Awaitable<> ServerConnection::read_all() {
  error_code error;
  while (!error) {
    while (std::optional<ServerSession::Action> action = session_.next()) perform(std::move(*action));
    channel_->flush();
    // A peer that sends requests and reads no answers must not fill the memory.
    if (channel_->congested()) co_await channel_->relieved();
    error = co_await channel_->read();
  }
  if (error == asio::error::eof && session_.input().inside_frame())
    log::warning("ttRPC peer closed in the middle of a message");
}

Awaitable<> ServerConnection::end_handlers() {
  for (auto it = running_.begin(); it != running_.end();) (it++)->cancel.emit(asio::cancellation_type::all);
  idle_.expires_after(kHandlerPatience);
  error_code ended;
  if (!running_.empty()) co_await idle_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  if (!running_.empty()) {
    log::warning("ttRPC handlers hang after their cancellation",
                 {{"count", std::to_string(running_.size())}});
  }
}

void ServerConnection::perform(ServerSession::Action action) {
  if (auto* const call = std::get_if<ServerSession::Call>(&action)) start(std::move(*call));
}

void ServerConnection::start(ServerSession::Call call) {
  const auto running = running_.emplace(running_.end());
  running->stream = call.stream;
  RequestHead& head = call.request.head;
  const Handler& handler = methods_->services.find(head.service)->second.find(head.method)->second;
  if (head.timeout.count() > 0) set_deadline(running, head.timeout, head.method);
  auto finish = [self = shared_from_this(), running](const std::exception_ptr& exception,
                                                     std::string answer) {
    self->finished(running, exception, std::move(answer));
  };
  try {
    RequestInfo info{head.timeout, std::move(head.metadata)};
    asio::co_spawn(channel_->executor(), handler(std::move(call.request.payload), std::move(info)),
                   asio::bind_cancellation_slot(running->cancel.slot(), std::move(finish)));
  } catch (...) {
    // A handler that is no coroutine itself may throw before there is one.
    finished(running, std::current_exception(), {});
  }
}

void ServerConnection::set_deadline(RunningList::iterator running, std::chrono::nanoseconds timeout,
                                    const std::string& method) {
  running->deadline = std::make_unique<asio::steady_timer>(channel_->executor(), timeout);
  // The timer dies with its entry, and then its handler gets an error and touches nothing.
  running->deadline->async_wait(
      [self = shared_from_this(), running, timeout, method](const error_code& error) {
        if (error) return;
        running->answered = true;
        self->session_.fail(running->stream, Error(Code::kDeadlineExceeded,
                                                   method + ": not done within " + duration_text(timeout)));
        self->channel_->flush();
        running->cancel.emit(asio::cancellation_type::all);
      });
}

void ServerConnection::finished(RunningList::iterator running, const std::exception_ptr& exception,
                                std::string answer) {
  const uint32_t stream = running->stream;
  const bool answered = running->answered;
  running_.erase(running);
  if (running_.empty()) idle_.cancel();
  if (answered) return;
  if (exception) {
    session_.fail(stream, handler_error(exception));
  } else {
    session_.respond(stream, std::move(answer));
  }
  channel_->flush();
}

}  // namespace kata::ttrpc
