#include "guest/rpc/container_service.h"

#include <algorithm>

#include "guest/device/cdi.h"
#include "guest/device/device.h"
#include "guest/device/vfio.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/proto_check.h"
#include "guest/rpc/spec_from_proto.h"
#include "guest/rpc/stats_to_proto.h"
#include "guest/rpc/storage_from_proto.h"

#include "agent/agent.pb.h"

namespace kata::rpc {
namespace {

std::vector<device::Device> devices_from_proto(const google::protobuf::RepeatedPtrField<grpc::Device>& from) {
  std::vector<device::Device> to;
  for (const grpc::Device& entry : from) {
    to.push_back({.id = entry.id(),
                  .type = entry.type(),
                  .vm_path = entry.vm_path(),
                  .container_path = entry.container_path(),
                  .options = strings(entry.options())});
  }
  return to;
}

device::NodeFinder finder_of(AgentContext& context) {
  return [&context](std::string type, std::string address) {
    return context.find_device(std::move(type), std::move(address));
  };
}

Awaitable<device::PciMap> prepare_devices(AgentContext& context, std::vector<device::Device> devices,
                                          oci::Spec& spec) {
  device::PciMap map = co_await device::add_devices(std::move(devices), finder_of(context), spec);
  if (spec.process) device::rewrite_pci_environment(spec.process->env, map);
  device::CdiOptions cdi;
  cdi.visible_devices = context.config.visible_cdi_devices;
  cdi.limit = context.config.cdi_timeout;
  co_await device::inject_cdi(std::move(cdi), spec);
  co_return map;
}

Awaitable<> create_container(AgentContext& context, const grpc::CreateContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  if (!request.exec_id().empty() && request.exec_id() != request.container_id())
    throw Error(Code::kInvalidArgument, "exec_id of a new container must be empty or the container's id");
  if (!request.has_oci()) throw Error(Code::kInvalidArgument, "OCI is missing");
  sandbox::ContainerSpec spec;
  spec.id = request.container_id();
  spec.spec = value_or_throw(spec_from_proto(request.oci()));
  context.extras.apply(spec.id, spec.spec);
  spec.storages = storages_from_proto(request.storages());
  for (const grpc::SharedMount& mount : request.shared_mounts()) {
    spec.shared_mounts.push_back({.name = mount.name(),
                                  .source_container = mount.src_ctr(),
                                  .source_path = mount.src_path(),
                                  .target_path = mount.dst_path()});
  }
  spec.sandbox_pidns = request.sandbox_pidns();
  co_await context.need_modules_for(spec.storages);
  const auto overlay = [](const oci::Mount& mount) { return mount.type == "overlay"; };
  if (!request.devices().empty() || std::ranges::any_of(spec.spec.mounts, overlay))
    co_await context.need_modules();
  device::complete_device_modes(spec.spec);
  spec.prepare_devices = [&context, devices = devices_from_proto(request.devices())](oci::Spec& target) {
    return prepare_devices(context, devices, target);
  };
  co_await context.sandbox.create_container(std::move(spec));
}

Awaitable<> start_container(AgentContext& context, const grpc::StartContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  co_await context.sandbox.start_container(request.container_id());
}

Awaitable<> remove_container(AgentContext& context, const grpc::RemoveContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  context.extras.forget(request.container_id());
  co_await context.sandbox.remove_container(request.container_id(), std::chrono::seconds(request.timeout()));
}

void update_container(AgentContext& context, const grpc::UpdateContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  container->update(value_or_throw(resources_from_proto(request.resources())));
}

void stats_container(AgentContext& context, const grpc::StatsContainerRequest& request,
                     grpc::StatsContainerResponse& response) {
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  stats_to_proto(container->stats(), *response.mutable_cgroup_stats());
}

Awaitable<> pause_container(AgentContext& context, const grpc::PauseContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  co_await container->pause();
}

Awaitable<> resume_container(AgentContext& context, const grpc::ResumeContainerRequest& request, Empty&) {
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kInvalidArgument);
  co_await container->resume();
}

}  // namespace

void add_container_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, "CreateContainer", context, create_container);
  add_method(server, "StartContainer", context, start_container);
  add_method(server, "RemoveContainer", context, remove_container);
  add_method(server, "UpdateContainer", context, update_container);
  add_method(server, "StatsContainer", context, stats_container);
  add_method(server, "PauseContainer", context, pause_container);
  add_method(server, "ResumeContainer", context, resume_container);
}

}  // namespace kata::rpc
