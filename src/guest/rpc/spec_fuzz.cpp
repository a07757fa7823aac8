// Messages of the host to the plain types: a CreateContainerRequest of any bytes.
#include <cstddef>
#include <cstdint>

#include "guest/rpc/spec_from_proto.h"
#include "guest/rpc/storage_from_proto.h"

#include "agent/agent.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  grpc::CreateContainerRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  [[maybe_unused]] const auto spec = kata::rpc::spec_from_proto(request.oci());
  [[maybe_unused]] const auto storages = kata::rpc::storages_from_proto(request.storages());
  return 0;
}
