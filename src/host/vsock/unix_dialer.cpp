#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "host/vsock/dialer.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock {
namespace {

constexpr size_t kAnswerLimit = 256;

// A connected socket. Connecting to a Unix stream socket never waits when non-blocking: it is there, or
// EAGAIN says that the listener's queue is full.
StreamSocket connect_unix(const asio::any_io_executor& executor, const std::string& path,
                          std::string_view tried) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    throw Error(Code::kInvalidArgument, std::string(tried) + ": the socket path is longer than " +
                                            std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno(tried);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int reason = errno;
    const Error failure = Error::from_errno(reason, tried);
    const bool not_yet = reason == ENOENT || reason == ECONNREFUSED || reason == EAGAIN;
    throw not_yet ? failure.as(Code::kUnavailable) : failure;
  }
  StreamSocket socket(executor, asio::generic::stream_protocol(AF_UNIX, 0), fd.get());
  std::ignore = fd.release();
  return socket;
}

void throw_unless_ok(const boost::system::error_code& error, std::string_view tried) {
  if (!error) return;
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
  throw Error::from_errno(error.value(), tried).as(Code::kUnavailable);
}

// Takes bytes up to and including the first newline off the socket, never more: what follows belongs to the
// stream's user. Returns whether the line is complete.
bool take_line_part(StreamSocket& socket, std::string& line, std::string_view tried) {
  std::array<char, kAnswerLimit> bytes;
  const ssize_t peeked = ::recv(socket.native_handle(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (peeked < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    throw Error::from_errno(errno, tried).as(Code::kUnavailable);
  }
  if (peeked == 0)
    throw Error(Code::kUnavailable, std::string(tried) + ": connection closed without an answer");
  const auto* end = std::find(bytes.data(), bytes.data() + peeked, '\n');
  const bool complete = end != bytes.data() + peeked;
  const auto length = static_cast<size_t>(end - bytes.data());
  line.append(bytes.data(), length);
  const size_t taken = length + (complete ? 1 : 0);
  if (::recv(socket.native_handle(), bytes.data(), taken, MSG_DONTWAIT) != static_cast<ssize_t>(taken))
    throw Error(Code::kUnavailable, std::string(tried) + ": the answer vanished while it was read");
  return complete;
}

// The peer's text for a message: short, printable.
std::string printable(std::string_view text) {
  std::string result(text.substr(0, 64));
  std::ranges::replace_if(result, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return result;
}

Awaitable<> read_answer(StreamSocket& socket, std::string tried) {
  std::string line;
  bool complete = false;
  while (!complete) {
    boost::system::error_code error;
    co_await socket.async_wait(StreamSocket::wait_read, asio::redirect_error(asio::use_awaitable, error));
    throw_unless_ok(error, tried);
    complete = take_line_part(socket, line, tried);
    if (!complete && line.size() >= kAnswerLimit) break;
  }
  if (!complete || line.find("OK") == std::string::npos)
    throw Error(Code::kUnavailable, tried + ": the answer is \"" + printable(line) + "\" instead of OK");
}

class HybridDialer : public GuestDialer {
 public:
  explicit HybridDialer(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] std::string url(uint32_t port) const override {
    return "hvsock://" + path_ + ":" + std::to_string(port);
  }

  Awaitable<StreamSocket> connect(uint32_t port) override {
    const std::string tried = "connecting to the guest at " + url(port);
    StreamSocket socket = connect_unix(co_await asio::this_coro::executor, path_, tried);
    const std::string request = "CONNECT " + std::to_string(port) + "\n";
    boost::system::error_code error;
    co_await asio::async_write(socket, asio::buffer(request),
                               asio::redirect_error(asio::use_awaitable, error));
    throw_unless_ok(error, tried);
    co_await read_answer(socket, tried);
    co_return socket;
  }

 private:
  std::string path_;
};

class RemoteDialer : public GuestDialer {
 public:
  explicit RemoteDialer(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] std::string url(uint32_t port) const override {
    return "remote://" + path_ + ":" + std::to_string(port);
  }
  [[nodiscard]] bool reaches_ports() const override { return false; }

  Awaitable<StreamSocket> connect(uint32_t port) override {
    const std::string tried = "connecting to the agent at " + url(port);
    co_return connect_unix(co_await asio::this_coro::executor, path_, tried);
  }

 private:
  std::string path_;
};

}  // namespace

std::shared_ptr<GuestDialer> make_hybrid_dialer(std::string socket_path) {
  return std::make_shared<HybridDialer>(std::move(socket_path));
}

std::shared_ptr<GuestDialer> make_remote_dialer(std::string socket_path) {
  return std::make_shared<RemoteDialer>(std::move(socket_path));
}

}  // namespace kata::vsock
