// katacpp.agent.v1.Extra: what the original protocol has no room for.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_extra_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
