// Interfaces, routes and neighbours.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_network_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
