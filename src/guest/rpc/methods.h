// Registration of grpc.AgentService methods.
#pragma once

#include <utility>

#include <google/protobuf/empty.pb.h>

#include "guest/sandbox/sandbox.h"
#include "lib/ttrpc/server.h"

namespace kata::rpc {

using google::protobuf::Empty;
using sandbox::Sandbox;

inline constexpr const char* kAgentService = "grpc.AgentService";

// Registers a coroutine function of a context object (the sandbox, ...) and the request. The context must outlive the
// server's connections.
template <typename Request, typename Response, typename Object>
void add_method(ttrpc::Server& server, const char* name, Object& object,
                Awaitable<Response> (*method)(Object& object, Request request)) {
  // Not a coroutine itself: its captures need not live on.
  ttrpc::add<Request, Response>(server, kAgentService, name, [&object, method](Request request) {
    return method(object, std::move(request));
  });
}

// Unwraps what a conversion returned.
template <typename T>
T value_or_throw(std::expected<T, Error> result) {
  if (!result) throw result.error();
  return std::move(*result);
}

}  // namespace kata::rpc
