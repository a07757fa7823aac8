#include "guest/rpc/acceptor.h"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

#include "lib/async/deadline.h"
#include "lib/log/log.h"

namespace kata::rpc {
namespace {

// The host needs one or two; a peer that opens more wants something else.
constexpr size_t kMaxConnections = 64;
constexpr std::chrono::milliseconds kPauseAfterFailure{100};

}  // namespace

Acceptor::Acceptor(const asio::any_io_executor& executor, UniqueFd listener, boot::ListenAddress address,
                   std::shared_ptr<ttrpc::Server> server)
    : listener_(executor, listener.release()), address_(std::move(address)), server_(std::move(server)) {}

int Acceptor::accept_one() {
  return ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

Awaitable<> Acceptor::run(TaskGroup& tasks) {
  const bool unix_socket = address_.kind == boot::ListenAddress::Kind::kUnix;
  const auto check = unix_socket ? ttrpc::Server::PeerCheck::kSameUser : ttrpc::Server::PeerCheck::kNone;
  const asio::generic::stream_protocol protocol(unix_socket ? AF_UNIX : AF_VSOCK, 0);
  for (;;) {
    co_await listener_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    UniqueFd fd(accept_one());
    if (!fd) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      log::warning("accepting a connection failed",
                   {{"error", Error::from_errno(errno, "accept").message()}});
      co_await pause_for(kPauseAfterFailure);
      continue;
    }
    if (server_->connections() >= kMaxConnections) {
      log::warning("connection refused: too many are open");
      continue;
    }
    StreamSocket socket(listener_.get_executor());
    socket.assign(protocol, fd.release());
    tasks.spawn("connection", server_->serve(std::move(socket), check));
  }
}

}  // namespace kata::rpc
