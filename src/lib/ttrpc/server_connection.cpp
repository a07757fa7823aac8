#include "lib/ttrpc/server_connection.h"

#include <exception>
#include <variant>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

#include "lib/async/deadline.h"
#include "lib/log/log.h"
#include "lib/ttrpc/server_stream.h"

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

const Method* MethodTable::find(std::string_view service, std::string_view method) const {
  const auto methods = services.find(service);
  if (methods == services.end()) return nullptr;
  const auto found = methods->second.find(method);
  return found == methods->second.end() ? nullptr : &found->second;
}

MethodKind MethodTable::kind(std::string_view service, std::string_view method) const {
  if (!services.contains(service)) return MethodKind::kUnknownService;
  const Method* const found = find(service, method);
  if (found == nullptr) return MethodKind::kUnknownMethod;
  return found->unary ? MethodKind::kUnary : MethodKind::kStream;
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
    log::debug("ttRPC peer closed in the middle of a message");
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
  if (auto* const call = std::get_if<ServerSession::Call>(&action)) {
    start(std::move(*call));
  } else if (auto* const open = std::get_if<ServerSession::Open>(&action)) {
    start(std::move(*open));
  } else if (auto* const message = std::get_if<ServerSession::Message>(&action)) {
    deliver(std::move(*message));
  } else if (const auto* const closed = std::get_if<ServerSession::RemoteClosed>(&action)) {
    remote_closed(closed->stream);
  } else {
    const auto found = streams_.find(std::get<ServerSession::Abort>(action).stream);
    if (found != streams_.end())
      abort(found->second, Error(Code::kResourceExhausted, "a message of the stream exceeds the limit"));
  }
}

ServerConnection::RunningList::iterator ServerConnection::add_running(uint32_t stream,
                                                                      const RequestHead& head) {
  const auto running = running_.emplace(running_.end());
  running->stream = stream;
  if (head.timeout.count() <= 0) return running;
  running->deadline = std::make_unique<asio::steady_timer>(channel_->executor(), head.timeout);
  // The timer dies with its entry, and then its handler gets an error and touches nothing.
  running->deadline->async_wait([self = shared_from_this(), running, method = head.method,
                                 limit = head.timeout](const error_code& error) {
    if (error) return;
    const std::string text = method + ": not done within " + duration_text(limit);
    self->abort(running, Error(Code::kDeadlineExceeded, text));
  });
  return running;
}

void ServerConnection::start(ServerSession::Call call) {
  RequestHead& head = call.request.head;
  const Method& method = *methods_->find(head.service, head.method);
  const auto running = add_running(call.stream, head);
  auto finish = [self = shared_from_this(), running](const std::exception_ptr& exception,
                                                     std::string answer) {
    self->finished(running, exception, std::move(answer));
  };
  try {
    RequestInfo info{head.timeout, std::move(head.metadata)};
    asio::co_spawn(channel_->executor(), method.unary(std::move(call.request.payload), std::move(info)),
                   asio::bind_cancellation_slot(running->cancel.slot(), std::move(finish)));
  } catch (...) {
    // A handler that is no coroutine itself may throw before there is one.
    finished(running, std::current_exception(), {});
  }
}

void ServerConnection::start(ServerSession::Open open) {
  RequestHead& head = open.request.head;
  const Method& method = *methods_->find(head.service, head.method);
  const auto running = add_running(open.stream, head);
  running->messages =
      std::make_shared<ServerStream>(weak_from_this(), channel_->executor(), open.stream, method.result);
  streams_.insert_or_assign(open.stream, running);
  auto finish = [self = shared_from_this(), running](const std::exception_ptr& exception) {
    self->finished(running, exception, {});
  };
  try {
    RequestInfo info{head.timeout, std::move(head.metadata)};
    asio::co_spawn(channel_->executor(), method.stream(running->messages, std::move(info)),
                   asio::bind_cancellation_slot(running->cancel.slot(), std::move(finish)));
  } catch (...) {
    finished(running, std::current_exception(), {});
  }
}

void ServerConnection::deliver(ServerSession::Message message) {
  const auto found = streams_.find(message.stream);
  if (found == streams_.end()) return;
  if (found->second->messages->inbox().push(std::move(message.data)) == StreamInbox::Taken::kFull)
    abort(found->second, inbox_full_error());
}

void ServerConnection::remote_closed(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found != streams_.end()) found->second->messages->inbox().end();
}

void ServerConnection::abort(RunningList::iterator running, Error error) {
  if (running->answered) return;
  running->answered = true;
  session_.fail(running->stream, error);
  if (running->messages) {
    streams_.erase(running->stream);
    running->messages->finish();
    running->messages->inbox().fail(std::move(error));
  }
  channel_->flush();
  // Last: the handler may end within this call, and its entry with it.
  running->cancel.emit(asio::cancellation_type::all);
}

void ServerConnection::answer_stream(uint32_t stream, std::string result) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  found->second->answered = true;
  streams_.erase(found);
  session_.respond(stream, std::move(result));
}

void ServerConnection::finished(RunningList::iterator running, const std::exception_ptr& exception,
                                std::string answer) {
  RunningList taken;
  taken.splice(taken.begin(), running_, running);
  const Running& ended = taken.front();
  if (running_.empty()) idle_.cancel();
  if (ended.messages) ended.messages->finish();
  if (ended.answered) return;
  if (ended.messages) streams_.erase(ended.stream);
  if (exception) {
    session_.fail(ended.stream, handler_error(exception));
  } else if (ended.messages && ended.messages->result() == StreamResult::kMessages) {
    session_.end(ended.stream);
  } else {
    session_.respond(ended.stream, std::move(answer));
  }
  channel_->flush();
}

}  // namespace kata::ttrpc
