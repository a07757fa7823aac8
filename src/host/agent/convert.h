// Between messages.h and the agent's protobuf messages.
#pragma once

#include "host/agent/messages.h"

#include "agent/agent.pb.h"

namespace kata::agent {

void to_message(const Storage& storage, grpc::Storage& message);
void to_message(const Interface& interface, types::Interface& message);
void to_message(const Route& route, types::Route& message);
void to_message(const Neighbour& neighbour, types::ARPNeighbor& message);
ContainerCounters from_message(const grpc::StatsContainerResponse& message);

}  // namespace kata::agent
