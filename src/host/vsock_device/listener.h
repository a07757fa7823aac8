// Unix sockets of the device: listening, accepting, connecting, without waiting.
#pragma once

#include <string>

#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

// Binds (mode 0600; a stale file is replaced) and listens, non-blocking. Throws with the path.
UniqueFd listen_unix(const std::string& path);
// The next connection, non-blocking; none when there is none or it has gone again.
UniqueFd accept_connection(int listener);
// A connection to `path`, non-blocking; none when nobody takes it at once.
UniqueFd connect_unix(const std::string& path);
// Whether the descriptor is a listening socket. Throws when it is no socket.
bool is_listening(int fd);

}  // namespace kata::vsock_device
