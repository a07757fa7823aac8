// Client of the confidential-data-hub of a guest that has one (agent-api, section 10).
#pragma once

#include <string>

#include "lib/async/awaitable.h"

namespace kata::rpc {

inline constexpr const char* kDataHubSocket = "/run/confidential-containers/cdh.sock";

// Has the image pulled and unpacked to <bundle>/rootfs. kFailedPrecondition: nobody listens on the socket;
// kDeadlineExceeded after `limit`; else the hub's own error.
Awaitable<> pull_image(std::string socket_path, std::string image, std::string bundle, Duration limit);

}  // namespace kata::rpc
