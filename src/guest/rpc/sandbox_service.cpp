#include "guest/rpc/sandbox_service.h"

#include <chrono>
#include <limits>
#include <string>

#include "guest/rpc/guest_clock.h"
#include "guest/rpc/guest_details.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/proto_check.h"
#include "guest/rpc/storage_from_proto.h"

#include "agent/agent.pb.h"

namespace kata::rpc {
namespace {

// What the kernel's clock can count in nanoseconds.
constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / 1'000'000'000;

Awaitable<> create_sandbox(AgentContext& context, const grpc::CreateSandboxRequest& request, Empty&) {
  if (!is_container_id(request.sandbox_id()))
    throw Error(Code::kInvalidArgument,
                "sandbox_id \"" + request.sandbox_id().substr(0, 200) + "\" is no valid id");
  sandbox::SandboxSpec spec;
  spec.id = request.sandbox_id();
  spec.hostname = request.hostname();
  // The kernel's limit.
  if (spec.hostname.size() > 64) throw Error(Code::kInvalidArgument, "hostname is longer than 64 characters");
  spec.dns = strings(request.dns());
  spec.storages = storages_from_proto(request.storages());
  spec.guest_hook_path = request.guest_hook_path();
  for (const auto& module : request.kernel_modules())
    spec.kernel_modules.push_back({.name = module.name(), .parameters = strings(module.parameters())});
  if (!spec.kernel_modules.empty()) co_await context.need_modules();
  co_await context.need_modules_for(spec.storages);
  co_await context.sandbox.create(std::move(spec));
}

Awaitable<> destroy_sandbox(AgentContext& context, const grpc::DestroySandboxRequest&, Empty&) {
  co_await context.sandbox.destroy();
  context.stop();
}

Awaitable<> get_oom_event(AgentContext& context, const grpc::GetOOMEventRequest&, grpc::OOMEvent& response) {
  response.set_container_id(co_await context.sandbox.oom_events().next());
}

void guest_details(AgentContext& context, const grpc::GuestDetailsRequest& request,
                   grpc::GuestDetailsResponse& response) {
  response = describe_guest(request, context.role);
}

void set_guest_date_time(AgentContext&, const grpc::SetGuestDateTimeRequest& request, Empty&) {
  if (request.usec() < 0 || request.usec() > 999'999)
    throw Error(Code::kInvalidArgument, "Usec " + std::to_string(request.usec()) + " is not in 0..999999");
  if (request.sec() < 0)
    throw Error(Code::kInvalidArgument, "Sec " + std::to_string(request.sec()) + " is negative");
  if (request.sec() > kMaxSeconds)
    throw Error(Code::kInvalidArgument,
                "Sec " + std::to_string(request.sec()) + " is beyond the clock's range");
  set_wall_clock(std::chrono::seconds(request.sec()) + std::chrono::microseconds(request.usec()));
}

void reseed_random(AgentContext&, const grpc::ReseedRandomDevRequest& request, Empty&) {
  reseed_entropy(request.data());
}

Awaitable<> update_ephemeral(AgentContext& context, const grpc::UpdateEphemeralMountsRequest& request,
                             Empty&) {
  co_await context.sandbox.update_ephemeral(storages_from_proto(request.storages()));
}

}  // namespace

void add_sandbox_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, "CreateSandbox", context, create_sandbox);
  add_method(server, "DestroySandbox", context, destroy_sandbox);
  add_method(server, "GetOOMEvent", context, get_oom_event);
  add_method(server, "GetGuestDetails", context, guest_details);
  add_method(server, "SetGuestDateTime", context, set_guest_date_time);
  add_method(server, "ReseedRandomDev", context, reseed_random);
  add_method(server, "UpdateEphemeralMounts", context, update_ephemeral);
}

}  // namespace kata::rpc
