#include "guest/rpc/process_stream.h"

#include <linux/vm_sockets.h>
#include <string>
#include <sys/socket.h>
#include <utility>

#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/accept.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::rpc {
namespace {

using Protocol = asio::generic::stream_protocol;
using ProcessPtr = std::shared_ptr<container::Process>;

constexpr std::chrono::seconds kAcceptLimit{10};
constexpr size_t kChunk = size_t{256} << 10;

struct Listener {
  UniqueFd socket;
  int family = AF_VSOCK;
  uint32_t port = 0;
  // Removed when the listener goes; empty for vsock.
  std::string path;

  Listener() = default;
  Listener(Listener&& other) noexcept
      : socket(std::move(other.socket)),
        family(other.family),
        port(other.port),
        path(std::exchange(other.path, {})) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

Listener listen_beside(const boot::ListenAddress& agent) {
  Listener listener;
  boot::ListenAddress address = agent;
  if (agent.kind == boot::ListenAddress::Kind::kUnix) {
    static uint32_t last_port = 0;
    listener.family = AF_UNIX;
    listener.port = ++last_port;
    address.path += "_" + std::to_string(listener.port);
    listener.socket = boot::listen_on(address);
    if (!address.path.starts_with('@')) listener.path = address.path;
    return listener;
  }
  address.port = VMADDR_PORT_ANY;
  listener.socket = boot::listen_on(address);
  sockaddr_vm name{};
  socklen_t size = sizeof name;
  if (::getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0)
    throw_errno("reading the port of a stream");
  listener.port = name.svm_port;
  return listener;
}

// A program in the guest may not take what is meant for the host.
bool is_host(const sockaddr_storage& peer) {
  if (peer.ss_family != AF_VSOCK) return true;
  return reinterpret_cast<const sockaddr_vm&>(peer).svm_cid == VMADDR_CID_HOST;
}

Awaitable<UniqueFd> accept_host(UniqueFd& listener) {
  asio::posix::stream_descriptor waiting(co_await asio::this_coro::executor, listener.release());
  for (;;) {
    Connection next = co_await accept_next(waiting);
    if (is_host(next.peer)) co_return std::move(next.socket);
  }
}

Awaitable<> send_output(Protocol::socket& host, ProcessPtr process, StreamKind kind) {
  for (;;) {
    const std::string data = kind == StreamKind::kStdout ? co_await process->read_stdout(kChunk)
                                                         : co_await process->read_stderr(kChunk);
    if (data.empty()) break;
    co_await asio::async_write(host, asio::buffer(data), asio::use_awaitable);
  }
  host.shutdown(Protocol::socket::shutdown_send);
}

Awaitable<> take_input(Protocol::socket& host, ProcessPtr process) {
  std::string data(kChunk, '\0');
  for (;;) {
    boost::system::error_code error;
    const size_t size =
        co_await host.async_read_some(asio::buffer(data), asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    co_await process->write_stdin(std::string_view(data).substr(0, size));
  }
  process->close_stdin();
}

Awaitable<> serve(Listener listener, ProcessPtr process, StreamKind kind) {
  UniqueFd socket =
      co_await with_deadline(accept_host(listener.socket), kAcceptLimit, "the host's connection");
  Protocol::socket host(co_await asio::this_coro::executor);
  host.assign(Protocol(listener.family, 0), socket.release());
  {
    const Listener done = std::move(listener);
  }
  if (kind == StreamKind::kStdin) {
    co_await take_input(host, std::move(process));
  } else {
    co_await send_output(host, std::move(process), kind);
  }
}

}  // namespace

uint32_t open_process_stream(ProcessPtr process, StreamKind kind, const boot::ListenAddress& agent,
                             TaskGroup& tasks) {
  Listener listener = listen_beside(agent);
  const uint32_t port = listener.port;
  tasks.spawn("stream of a process", serve(std::move(listener), std::move(process), kind));
  return port;
}

}  // namespace kata::rpc
