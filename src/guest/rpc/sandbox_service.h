// The sandbox and the guest around it: create, destroy, details, clock, entropy, OOM events.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_sandbox_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
