#include "guest/boot/listener.h"

#include <charconv>
#include <cstddef>
#include <cstring>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <unistd.h>

namespace kata::boot {
namespace {

constexpr int kBacklog = 64;

bool parse_u32(std::string_view text, uint32_t& out) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && stop == text.data() + text.size() && !text.empty();
}

Error bad_address(std::string_view text, const char* expected) {
  return Error(Code::kInvalidArgument,
               "server address " + std::string(text.substr(0, 200)) + ": expected " + expected);
}

UniqueFd stream_socket(int family) {
  UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket)
    throw_errno(family == AF_VSOCK ? "opening a vsock socket (is the vsock module loaded?)"
                                   : "opening a Unix socket");
  return socket;
}

void bind_vsock(int fd, const ListenAddress& address) {
  sockaddr_vm name{};
  name.svm_family = AF_VSOCK;
  name.svm_cid = address.cid;
  name.svm_port = address.port;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    throw_errno("binding " + address.text());
}

void bind_unix(int fd, const ListenAddress& address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, address.path.data(), address.path.size());
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
  if (address.path.starts_with('@')) {
    name.sun_path[0] = '\0';
    --length;
  } else {
    struct stat info{};
    if (::lstat(address.path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) ::unlink(address.path.c_str());
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&name), length) != 0)
    throw_errno("binding " + address.text());
}

}  // namespace

std::string ListenAddress::text() const {
  return kind == Kind::kVsock ? "vsock:" + std::to_string(port) : "unix:" + path;
}

std::expected<ListenAddress, Error> parse_listen_address(std::string_view text) {
  constexpr std::string_view kVsock = "vsock://";
  constexpr std::string_view kUnix = "unix://";
  ListenAddress address;
  if (text.starts_with(kUnix)) {
    address.kind = ListenAddress::Kind::kUnix;
    address.path = text.substr(kUnix.size());
    constexpr size_t kRoom = sizeof(sockaddr_un::sun_path) - 1;
    if (address.path.size() < 2 || address.path.size() > kRoom ||
        address.path.find('\0') != std::string::npos)
      return std::unexpected(bad_address(text, "unix:// and a path of 2 to 107 characters"));
    return address;
  }
  if (!text.starts_with(kVsock))
    return std::unexpected(bad_address(text, "vsock://<cid>:<port> or unix://<path>"));
  const std::string_view rest = text.substr(kVsock.size());
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return std::unexpected(bad_address(text, "vsock://<cid>:<port>"));
  const std::string_view cid = rest.substr(0, colon);
  if (cid == "-1") {
    address.cid = VMADDR_CID_ANY;
  } else if (!parse_u32(cid, address.cid)) {
    return std::unexpected(bad_address(text, "a context id of 0 or more, or -1 for any"));
  }
  if (!parse_u32(rest.substr(colon + 1), address.port) || address.port == VMADDR_PORT_ANY)
    return std::unexpected(bad_address(text, "a port number"));
  return address;
}

UniqueFd listen_on(const ListenAddress& address) {
  const bool vsock = address.kind == ListenAddress::Kind::kVsock;
  UniqueFd socket = stream_socket(vsock ? AF_VSOCK : AF_UNIX);
  vsock ? bind_vsock(socket.get(), address) : bind_unix(socket.get(), address);
  if (::listen(socket.get(), kBacklog) != 0) throw_errno("listening on " + address.text());
  return socket;
}

}  // namespace kata::boot
