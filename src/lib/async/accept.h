// The next connection of a listening socket.
#pragma once

#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "lib/async/awaitable.h"
#include "lib/fd/unique_fd.h"

namespace kata {

struct Connection {
  // Close-on-exec and non-blocking.
  UniqueFd socket;
  sockaddr_storage peer;
};

// Waits until there is one. `listener` is non-blocking and outlives the wait. A peer that went away again is
// passed over; what does not work for now (no descriptors, no memory) is tried again after a pause.
Awaitable<Connection> accept_next(asio::posix::stream_descriptor& listener);

}  // namespace kata
