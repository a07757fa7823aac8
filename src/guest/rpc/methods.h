// Registration of grpc.AgentService methods.
#pragma once

#include <utility>

#include <google/protobuf/empty.pb.h>

#include "guest/rpc/agent_context.h"
#include "lib/ttrpc/server.h"

namespace kata::rpc {

using google::protobuf::Empty;

inline constexpr const char* kAgentService = "grpc.AgentService";

// Registers a coroutine function of the agent's context and the request. The context must outlive the
// server's connections.
template <typename Request, typename Response>
void add_method(ttrpc::Server& server, const char* service, const char* name, AgentContext& context,
                Awaitable<Response> (*method)(AgentContext& context, Request request)) {
  // Not a coroutine itself: its captures need not live on.
  ttrpc::add<Request, Response>(server, service, name, [&context, method](Request request) {
    return method(context, std::move(request));
  });
}

template <typename Request, typename Response>
void add_method(ttrpc::Server& server, const char* name, AgentContext& context,
                Awaitable<Response> (*method)(AgentContext& context, Request request)) {
  add_method(server, kAgentService, name, context, method);
}

// Unwraps what a conversion returned.
template <typename T>
T value_or_throw(std::expected<T, Error> result) {
  if (!result) throw result.error();
  return std::move(*result);
}

}  // namespace kata::rpc
