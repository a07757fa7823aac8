#include "guest/rpc/process_service.h"

#include <algorithm>
#include <csignal>
#include <limits>

#include "guest/rpc/ids.h"
#include "guest/rpc/spec_from_proto.h"

#include "agent/agent.pb.h"

namespace kata::rpc {
namespace {

// An answer must fit the protocol's 4 MiB; more than a pipe holds brings nothing.
constexpr size_t kMaxRead = size_t{1} << 20;

template <typename Request>
void check_ids(const Request& request) {
  check_container_id(request.container_id());
  check_exec_id(request.exec_id());
}

Awaitable<> exec_process(AgentContext& context, const grpc::ExecProcessRequest& request, Empty&) {
  check_ids(request);
  if (request.exec_id().empty()) throw Error(Code::kInvalidArgument, "exec_id is empty");
  if (!request.has_process()) throw Error(Code::kInvalidArgument, "process is missing");
  oci::Process process = value_or_throw(process_from_proto(request.process()));
  context.extras.apply(request.container_id(), request.exec_id(), process);
  if (process.args.empty()) throw Error(Code::kInvalidArgument, "process.Args is empty");
  co_await context.sandbox.exec(request.container_id(), request.exec_id(), std::move(process));
}

Awaitable<> signal_process(AgentContext& context, const grpc::SignalProcessRequest& request, Empty&) {
  check_ids(request);
  if (request.signal() > static_cast<uint32_t>(SIGRTMAX))
    throw Error(Code::kInvalidArgument, "signal " + std::to_string(request.signal()) + " does not exist");
  co_await context.sandbox.signal(request.container_id(), request.exec_id(),
                                  static_cast<int>(request.signal()));
}

Awaitable<> wait_process(AgentContext& context, const grpc::WaitProcessRequest& request,
                         grpc::WaitProcessResponse& response) {
  check_ids(request);
  response.set_status(co_await context.sandbox.wait(request.container_id(), request.exec_id()));
}

size_t read_length(const grpc::ReadStreamRequest& request) {
  if (request.len() == 0) throw Error(Code::kInvalidArgument, "len is 0: nothing can be read");
  return std::min<size_t>(request.len(), kMaxRead);
}

Awaitable<> read_stdout(AgentContext& context, const grpc::ReadStreamRequest& request,
                        grpc::ReadStreamResponse& response) {
  check_ids(request);
  const auto process =
      context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kInvalidArgument);
  response.set_data(co_await process->read_stdout(read_length(request)));
}

Awaitable<> read_stderr(AgentContext& context, const grpc::ReadStreamRequest& request,
                        grpc::ReadStreamResponse& response) {
  check_ids(request);
  const auto process =
      context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kInvalidArgument);
  response.set_data(co_await process->read_stderr(read_length(request)));
}

Awaitable<> write_stdin(AgentContext& context, const grpc::WriteStreamRequest& request,
                        grpc::WriteStreamResponse& response) {
  check_ids(request);
  const auto process =
      context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kNotFound);
  response.set_len(static_cast<uint32_t>(co_await process->write_stdin(request.data())));
}

void close_stdin(AgentContext& context, const grpc::CloseStdinRequest& request, Empty&) {
  check_ids(request);
  context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kInvalidArgument)
      ->close_stdin();
}

void resize(AgentContext& context, const grpc::TtyWinResizeRequest& request, Empty&) {
  check_ids(request);
  constexpr uint32_t kMax = std::numeric_limits<uint16_t>::max();
  if (request.row() > kMax || request.column() > kMax)
    throw Error(Code::kInvalidArgument, "row and column must not be above 65535");
  const auto process =
      context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kInvalidArgument);
  process->resize(static_cast<uint16_t>(request.row()), static_cast<uint16_t>(request.column()));
}

}  // namespace

void add_process_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, "ExecProcess", context, exec_process);
  add_method(server, "SignalProcess", context, signal_process);
  add_method(server, "WaitProcess", context, wait_process);
  add_method(server, "ReadStdout", context, read_stdout);
  add_method(server, "ReadStderr", context, read_stderr);
  add_method(server, "WriteStdin", context, write_stdin);
  add_method(server, "CloseStdin", context, close_stdin);
  add_method(server, "TtyWinResize", context, resize);
}

}  // namespace kata::rpc
