#include "guest/rpc/container_service.h"

#include "agent/agent.pb.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/spec_from_proto.h"
#include "guest/rpc/stats_to_proto.h"
#include "guest/rpc/storage_from_proto.h"

namespace kata::rpc {
namespace {

Awaitable<Empty> create_container(Sandbox& sandbox, grpc::CreateContainerRequest request) {
  check_container_id(request.container_id());
  if (!request.exec_id().empty() && request.exec_id() != request.container_id())
    throw Error(Code::kInvalidArgument, "exec_id of a new container must be empty or the container's id");
  if (!request.has_oci()) throw Error(Code::kInvalidArgument, "OCI is missing");
  sandbox::ContainerSpec spec;
  spec.id = request.container_id();
  spec.spec = value_or_throw(spec_from_proto(request.oci()));
  spec.storages = storages_from_proto(request.storages());
  spec.sandbox_pidns = request.sandbox_pidns();
  co_await sandbox.create_container(std::move(spec));
  co_return Empty();
}

Awaitable<Empty> start_container(Sandbox& sandbox, grpc::StartContainerRequest request) {
  check_container_id(request.container_id());
  co_await sandbox.start_container(request.container_id());
  co_return Empty();
}

Awaitable<Empty> remove_container(Sandbox& sandbox, grpc::RemoveContainerRequest request) {
  check_container_id(request.container_id());
  co_await sandbox.remove_container(request.container_id(), std::chrono::seconds(request.timeout()));
  co_return Empty();
}

Awaitable<Empty> update_container(Sandbox& sandbox, grpc::UpdateContainerRequest request) {
  check_container_id(request.container_id());
  const auto container = sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  container->update(value_or_throw(resources_from_proto(request.resources())));
  co_return Empty();
}

Awaitable<grpc::StatsContainerResponse> stats_container(Sandbox& sandbox, grpc::StatsContainerRequest request) {
  check_container_id(request.container_id());
  const auto container = sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  grpc::StatsContainerResponse response;
  stats_to_proto(container->stats(), *response.mutable_cgroup_stats());
  co_return response;
}

Awaitable<Empty> pause_container(Sandbox& sandbox, grpc::PauseContainerRequest request) {
  check_container_id(request.container_id());
  const auto container = sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  co_await container->pause();
  co_return Empty();
}

Awaitable<Empty> resume_container(Sandbox& sandbox, grpc::ResumeContainerRequest request) {
  check_container_id(request.container_id());
  const auto container = sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  co_await container->resume();
  co_return Empty();
}

}  // namespace

void add_container_methods(ttrpc::Server& server, Sandbox& sandbox) {
  add_method(server, "CreateContainer", sandbox, create_container);
  add_method(server, "StartContainer", sandbox, start_container);
  add_method(server, "RemoveContainer", sandbox, remove_container);
  add_method(server, "UpdateContainer", sandbox, update_container);
  add_method(server, "StatsContainer", sandbox, stats_container);
  add_method(server, "PauseContainer", sandbox, pause_container);
  add_method(server, "ResumeContainer", sandbox, resume_container);
}

}  // namespace kata::rpc
