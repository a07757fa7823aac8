// Bytes between two connected stream sockets.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>

#include "lib/async/awaitable.h"

namespace kata {

// Copies both ways until both sides have ended; the end of one direction is passed on as a half-close. A
// side that breaks ends the other with a reset, so that its peer does not take what it got for the whole.
// Both are closed afterwards.
Awaitable<> relay(asio::generic::stream_protocol::socket one, asio::generic::stream_protocol::socket other);

// Closes so that the peer sees a reset where the protocol has one.
void close_with_reset(asio::generic::stream_protocol::socket& socket);

}  // namespace kata
