// The guest's hardware and files: hot plug, swap, copied files, volumes, packet filters, diagnostics,
// metrics.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_guest_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
