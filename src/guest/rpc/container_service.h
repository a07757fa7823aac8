// Containers: create, start, remove, update, pause, resume, figures.
#pragma once

#include "guest/rpc/methods.h"

namespace kata::rpc {

void add_container_methods(ttrpc::Server& server, AgentContext& context);

}  // namespace kata::rpc
