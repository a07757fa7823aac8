#include "guest/rpc/health_service.h"

#include "agent/health.pb.h"

namespace kata::rpc {
namespace {

constexpr const char* kService = "grpc.Health";
// The protocol's version as the original agent reports it.
constexpr const char* kGrpcVersion = "0.0.1";

Awaitable<grpc::HealthCheckResponse> check(grpc::CheckRequest) {
  grpc::HealthCheckResponse response;
  response.set_status(grpc::HealthCheckResponse::SERVING);
  co_return response;
}

Awaitable<grpc::VersionCheckResponse> version(grpc::CheckRequest) {
  grpc::VersionCheckResponse response;
  response.set_grpc_version(kGrpcVersion);
  response.set_agent_version(KATA_VERSION);
  co_return response;
}

}  // namespace

void add_health_service(ttrpc::Server& server) {
  ttrpc::add<grpc::CheckRequest, grpc::HealthCheckResponse>(server, kService, "Check", check);
  ttrpc::add<grpc::CheckRequest, grpc::VersionCheckResponse>(server, kService, "Version", version);
}

}  // namespace kata::rpc
