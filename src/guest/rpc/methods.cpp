#include "guest/rpc/methods.h"

namespace kata::rpc {
namespace {

Awaitable<std::string> serve(const char* name, AgentContext& context, Method method, std::string payload) {
  const auto request = method.new_request();
  if (!request->ParseFromString(payload))
    throw Error(Code::kInvalidArgument, std::string("request of ") + name + " does not parse");
  // Long polls keep their request for hours.
  payload.clear();
  payload.shrink_to_fit();
  const auto response = method.new_response();
  if (method.invoke_now != nullptr) {
    method.invoke_now(method.function, context, *request, *response);
  } else {
    co_await method.invoke(method.function, context, *request, *response);
  }
  co_return response->SerializeAsString();
}

}  // namespace

void register_method(ttrpc::Server& server, const char* service, const char* name, AgentContext& context,
                     Method method) {
  server.add(service, name, [name, &context, method](std::string payload, ttrpc::RequestInfo) {
    return serve(name, context, method, std::move(payload));
  });
}

}  // namespace kata::rpc
