// Registration of grpc.AgentService methods.
#pragma once

#include <memory>
#include <utility>

#include <google/protobuf/empty.pb.h>
#include <google/protobuf/message_lite.h>

#include "guest/rpc/agent_context.h"
#include "lib/ttrpc/server.h"

namespace kata::rpc {

using google::protobuf::Empty;

inline constexpr const char* kAgentService = "grpc.AgentService";

// How one method is called, free of its message types: one coroutine serves all methods, which would
// otherwise be most of the program.
struct Method {
  std::unique_ptr<google::protobuf::MessageLite> (*new_request)();
  std::unique_ptr<google::protobuf::MessageLite> (*new_response)();
  // Casts the messages and calls `function`.
  Awaitable<> (*invoke)(void (*function)(), AgentContext& context,
                        const google::protobuf::MessageLite& request,
                        google::protobuf::MessageLite& response);
  void (*function)();
  // The method answers at once: called without a coroutine.
  void (*invoke_now)(void (*function)(), AgentContext& context, const google::protobuf::MessageLite& request,
                     google::protobuf::MessageLite& response);
};

// A request that does not parse is answered kInvalidArgument. The context must outlive the server's
// connections.
void register_method(ttrpc::Server& server, const char* service, const char* name, AgentContext& context,
                     Method method);

template <typename Message>
std::unique_ptr<google::protobuf::MessageLite> new_message() {
  return std::make_unique<Message>();
}

// A method that waits: a coroutine; request and response live until it ends.
template <typename Request, typename Response>
void add_method(ttrpc::Server& server, const char* service, const char* name, AgentContext& context,
                Awaitable<> (*method)(AgentContext& context, const Request& request, Response& response)) {
  using google::protobuf::MessageLite;
  const auto invoke = [](void (*function)(), AgentContext& target, const MessageLite& request,
                         MessageLite& response) {
    return reinterpret_cast<decltype(method)>(function)(target, static_cast<const Request&>(request),
                                                        static_cast<Response&>(response));
  };
  register_method(server, service, name, context,
                  {.new_request = new_message<Request>,
                   .new_response = new_message<Response>,
                   .invoke = invoke,
                   .function = reinterpret_cast<void (*)()>(method),
                   .invoke_now = nullptr});
}

// A method that answers at once.
template <typename Request, typename Response>
void add_method(ttrpc::Server& server, const char* service, const char* name, AgentContext& context,
                void (*method)(AgentContext& context, const Request& request, Response& response)) {
  using google::protobuf::MessageLite;
  const auto invoke = [](void (*function)(), AgentContext& target, const MessageLite& request,
                         MessageLite& response) {
    reinterpret_cast<decltype(method)>(function)(target, static_cast<const Request&>(request),
                                                 static_cast<Response&>(response));
  };
  register_method(server, service, name, context,
                  {.new_request = new_message<Request>,
                   .new_response = new_message<Response>,
                   .invoke = nullptr,
                   .function = reinterpret_cast<void (*)()>(method),
                   .invoke_now = invoke});
}

template <typename Function>
void add_method(ttrpc::Server& server, const char* name, AgentContext& context, Function* method) {
  add_method(server, kAgentService, name, context, method);
}

// Unwraps what a conversion returned.
template <typename T>
T value_or_throw(std::expected<T, Error> result) {
  if (!result) throw result.error();
  return std::move(*result);
}

}  // namespace kata::rpc
