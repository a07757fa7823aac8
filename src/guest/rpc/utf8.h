// Text of containers in messages: protobuf strings must be UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace kata::rpc {

// Every byte that is part of no valid sequence becomes U+FFFD.
std::string lossy_utf8(std::string_view bytes);

}  // namespace kata::rpc
