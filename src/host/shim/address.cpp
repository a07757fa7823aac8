#include "host/shim/address.h"

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/text/sha256.h"

namespace kata::shim {
namespace {

constexpr std::string_view kUnixScheme = "unix://";
constexpr int kBacklog = 128;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    throw Error(Code::kInvalidArgument, "socket path " + path + " has " + std::to_string(path.size()) +
                                            " bytes; at most " +
                                            std::to_string(sizeof(address.sun_path) - 1) +
                                            " are possible: use a shorter socket directory");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd new_socket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("creating a socket");
  return socket;
}

bool bind_to(const UniqueFd& socket, const sockaddr_un& address) {
  // The mode of the socket file follows from the umask at bind.
  const mode_t old = ::umask(0177);
  const int result = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(old);
  errno = error;
  return result == 0;
}

void make_directories(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    const mode_t mode = at == std::string::npos ? 0700 : 0711;
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) throw_errno("creating directory " + part);
    if (at == std::string::npos) return;
  }
}

}  // namespace

std::string join_path(std::initializer_list<std::string_view> elements) {
  std::string joined;
  for (const std::string_view element : elements) {
    if (element.empty()) continue;
    if (!joined.empty()) joined.push_back('/');
    joined += element;
  }
  if (joined.empty()) return {};
  const bool rooted = joined.starts_with('/');
  std::vector<std::string_view> parts;
  for (std::string_view rest = joined; !rest.empty();) {
    const size_t end = rest.find('/');
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!rooted) {
      parts.push_back(part);
    }
  }
  std::string out = rooted ? "/" : "";
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) out.push_back('/');
    out += parts[i];
  }
  return out.empty() ? "." : out;
}

std::string socket_path(std::string_view socket_dir, std::string_view grpc_address,
                        std::string_view containerd_namespace, std::string_view group_id) {
  const std::string name = join_path({grpc_address, containerd_namespace, group_id});
  return join_path({socket_dir, text::sha256_hex(name)});
}

std::string path_of_address(std::string_view address) {
  if (address.starts_with(kUnixScheme)) address.remove_prefix(kUnixScheme.size());
  if (!address.starts_with('/') || address.find('\0') != std::string_view::npos) return {};
  return std::string(address);
}

bool is_served(const std::string& path) {
  const sockaddr_un address = address_of(path);
  const UniqueFd socket = new_socket();
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

Listening listen_at(const std::string& path) {
  const sockaddr_un address = address_of(path);
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash != 0)
    make_directories(path.substr(0, slash));
  Listening listening;
  listening.socket = new_socket();
  if (!bind_to(listening.socket, address)) {
    if (errno != EADDRINUSE) throw_errno("binding socket " + path);
    if (is_served(path)) return {UniqueFd(), true};
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("removing the stale socket " + path);
    if (!bind_to(listening.socket, address)) throw_errno("binding socket " + path);
  }
  if (::listen(listening.socket.get(), kBacklog) != 0) throw_errno("listening on socket " + path);
  return listening;
}

}  // namespace kata::shim
