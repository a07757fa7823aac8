#include "host/vsock_device/listener.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/error/error.h"

namespace kata::vsock_device {
namespace {

constexpr int kBacklog = 128;

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd unix_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

}  // namespace

UniqueFd listen_unix(const std::string& path) {
  const std::string tried = "listening on " + path;
  const auto address = address_of(path);
  if (!address) throw Error(Code::kInvalidArgument, tried + ": the path is too long for a socket");
  UniqueFd fd = unix_socket();
  if (!fd) throw_errno(tried);
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
  const int reason = errno;
  ::umask(before);
  if (bound != 0) throw Error::from_errno(reason, tried);
  if (::listen(fd.get(), kBacklog) != 0) throw_errno(tried);
  return fd;
}

UniqueFd accept_connection(int listener) {
  return UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

UniqueFd connect_unix(const std::string& path) {
  const auto address = address_of(path);
  UniqueFd fd = address ? unix_socket() : UniqueFd();
  if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0)
    fd.reset();
  return fd;
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t size = sizeof(listening);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
    throw_errno("looking at descriptor " + std::to_string(fd));
  return listening != 0;
}

}  // namespace kata::vsock_device
