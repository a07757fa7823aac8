// grpc.Health: whether the agent answers, and its version.
#pragma once

#include "lib/ttrpc/server.h"

namespace kata::rpc {

void add_health_service(ttrpc::Server& server);

}  // namespace kata::rpc
