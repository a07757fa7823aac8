#include "host/vmm/qemu/qmp_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>

namespace kata::vmm::qemu {
namespace {

// Sends what fits now; the descriptor travels with the first byte. Returns the bytes taken, 0 when the socket
// is full.
size_t send_some(int socket, std::string_view text, int fd) {
  iovec part{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0) return static_cast<size_t>(n);
  if (errno == EAGAIN || errno == EINTR) return 0;
  throw_errno("sending a QMP command");
}

}  // namespace

QmpClient::QmpClient(const asio::any_io_executor& executor, UniqueFd socket, EventHandler on_event)
    : executor_(executor),
      socket_(executor, asio::local::stream_protocol(), socket.release()),
      on_event_(std::move(on_event)),
      greeted_(executor) {}

Awaitable<> QmpClient::read_loop() {
  const auto self = shared_from_this();
  std::array<char, 4096> buffer;
  while (!closed_) {
    boost::system::error_code error;
    const size_t n = co_await socket_.async_read_some(asio::buffer(buffer),
                                                      asio::redirect_error(asio::use_awaitable, error));
    if (error || n == 0) {
      fail_all(Error(Code::kUnavailable, "QMP: QEMU closed the connection"));
      break;
    }
    auto messages = session_.feed({buffer.data(), n});
    if (!messages) {
      fail_all(messages.error());
      break;
    }
    for (QmpMessage& message : *messages) dispatch(std::move(message));
  }
}

void QmpClient::dispatch(QmpMessage message) {
  if (const auto* greeting = std::get_if<QmpGreeting>(&message)) {
    version_ = greeting->version;
    greeted_.set();
  } else if (const auto* event = std::get_if<QmpEvent>(&message)) {
    if (on_event_) on_event_(*event);
  } else if (auto* reply = std::get_if<QmpReply>(&message)) {
    const auto found = calls_.find(reply->id);
    // A call that was given up is answered all the same.
    if (found == calls_.end()) return;
    const std::shared_ptr<Call> call = found->second;
    calls_.erase(found);
    call->result = std::move(reply->result);
    call->done.set();
  }
}

Awaitable<std::string> QmpClient::negotiate() {
  const auto self = shared_from_this();
  co_await greeted_.wait();
  if (closed_) throw Error(*closed_);
  co_await execute("qmp_capabilities");
  co_return version_;
}

Awaitable<std::string> QmpClient::execute(std::string name, std::string arguments) {
  return call(std::move(name), std::move(arguments), -1);
}

Awaitable<> QmpClient::give_descriptor(std::string name, int fd) {
  const std::string arguments = R"({"fdname":)" + json_quote(name) + "}";
  co_await call("getfd", arguments, fd);
}

Awaitable<> QmpClient::add_to_set(uint32_t set, std::string opaque, int fd) {
  const std::string arguments =
      R"({"fdset-id":)" + std::to_string(set) + R"(,"opaque":)" + json_quote(opaque) + "}";
  co_await call("add-fd", arguments, fd);
}

Awaitable<std::string> QmpClient::call(std::string name, std::string arguments, int fd) {
  const auto self = shared_from_this();
  if (closed_) throw Error(*closed_);
  const uint64_t id = ++last_id_;
  const auto entry = std::make_shared<Call>(executor_);
  calls_.emplace(id, entry);
  outgoing_.push_back({.text = QmpSession::command(id, name, arguments), .fd = fd});
  if (!writing_) {
    writing_ = true;
    // Apart from this call, so that a caller who gives up does not cut a line that is half sent.
    asio::co_spawn(executor_, write_loop(), asio::detached);
  }
  try {
    co_await entry->done.wait();
  } catch (...) {
    calls_.erase(id);
    throw;
  }
  if (!*entry->result) throw entry->result->error().within("QMP " + name);
  co_return std::move(**entry->result);
}

Awaitable<> QmpClient::write_loop() {
  const auto self = shared_from_this();
  try {
    while (!outgoing_.empty() && !closed_) {
      Outgoing next = std::move(outgoing_.front());
      outgoing_.pop_front();
      std::string_view rest = next.text;
      while (!rest.empty() && !closed_) {
        const size_t sent = send_some(socket_.native_handle(), rest, next.fd);
        rest.remove_prefix(sent);
        if (sent != 0) next.fd = -1;
        if (sent == 0)
          co_await socket_.async_wait(asio::local::stream_protocol::socket::wait_write, asio::use_awaitable);
      }
    }
  } catch (...) {
    fail_all(to_error(std::current_exception()).as(Code::kUnavailable));
  }
  writing_ = false;
}

void QmpClient::fail_all(const Error& error) {
  if (!closed_) closed_ = error;
  for (auto& [id, call] : std::exchange(calls_, {})) {
    call->result = std::unexpected(error);
    call->done.set();
  }
  outgoing_.clear();
  greeted_.set();
}

void QmpClient::close() {
  fail_all(Error(Code::kUnavailable, "QMP: the connection was closed"));
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace kata::vmm::qemu
