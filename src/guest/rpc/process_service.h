// Signals, waits, standard streams and terminals of processes.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_process_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
