// grpc.Storage to the plain type.
#pragma once

#include <vector>

#include "guest/storage/storage.h"

#include "agent/agent.pb.h"

namespace kata::rpc {

std::vector<storage::Storage> storages_from_proto(
    const google::protobuf::RepeatedPtrField<grpc::Storage>& from);

}  // namespace kata::rpc
