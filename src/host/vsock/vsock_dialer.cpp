#include <cerrno>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/redirect_error.hpp>

#include "host/vsock/dialer.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock {
namespace {

// What a guest that is not up yet, or has no listener yet, looks like from the host.
bool means_not_yet(int errno_value) {
  switch (errno_value) {
    case ENODEV:
    case ECONNRESET:
    case ECONNREFUSED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

class VsockDialer : public GuestDialer {
 public:
  explicit VsockDialer(uint32_t cid) : cid_(cid) {}

  [[nodiscard]] std::string url(uint32_t port) const override {
    return "vsock://" + std::to_string(cid_) + ":" + std::to_string(port);
  }
  [[nodiscard]] Backoff backoff() const override { return Backoff::kDoubling; }

  Awaitable<StreamSocket> connect(uint32_t port) override {
    const std::string tried = "connecting to the guest at " + url(port);
    UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno(tried);
    const asio::generic::stream_protocol protocol(AF_VSOCK, 0);
    StreamSocket socket(co_await asio::this_coro::executor, protocol, fd.get());
    std::ignore = fd.release();

    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid_;
    address.svm_port = port;
    const asio::generic::stream_protocol::endpoint endpoint(&address, sizeof(address));
    boost::system::error_code error;
    co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
    if (error) {
      const Error failure = Error::from_errno(error.value(), tried);
      throw means_not_yet(error.value()) ? failure.as(Code::kUnavailable) : failure;
    }
    co_return socket;
  }

 private:
  uint32_t cid_;
};

}  // namespace

std::shared_ptr<GuestDialer> make_vsock_dialer(uint32_t cid) {
  return std::make_shared<VsockDialer>(cid);
}

}  // namespace kata::vsock
