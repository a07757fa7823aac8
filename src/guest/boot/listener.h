// The socket the agent listens on.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::boot {

struct ListenAddress {
  enum class Kind { kVsock, kUnix };
  Kind kind = Kind::kVsock;
  // -1 in the text is any.
  uint32_t cid = 0;
  uint32_t port = 0;
  // A leading '@' is the abstract name space.
  std::string path;
  // "vsock:1024" or "unix:/run/x": for the log.
  [[nodiscard]] std::string text() const;
};

// "vsock://<cid or -1>:<port>" or "unix://<path>".
std::expected<ListenAddress, Error> parse_listen_address(std::string_view text);

// A listening, non-blocking stream socket. A Unix path that exists as a socket is replaced.
UniqueFd listen_on(const ListenAddress& address);

}  // namespace kata::boot
