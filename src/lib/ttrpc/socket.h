// The socket type of every ttRPC connection: Unix and vsock streams alike.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>

namespace kata {

using StreamSocket = boost::asio::generic::stream_protocol::socket;

}  // namespace kata
