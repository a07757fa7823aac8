#include "guest/rpc/process_service.h"

#include <algorithm>
#include <csignal>
#include <limits>

#include "guest/device/vfio.h"
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
  device::rewrite_pci_environment(process.env, context.sandbox.pci_map(request.container_id()));
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

// The answer is made around the bytes as they lie: a message object would have them copied once more, and
// output is what the agent handles most of.
std::string around(std::string chunk, size_t headroom) {
  if (chunk.empty()) return chunk;
  constexpr char kDataTag = (1 << 3) | 2;
  size_t size = chunk.size() - headroom;
  std::string head(1, kDataTag);
  for (; size >= 0x80; size >>= 7) head += static_cast<char>(size | 0x80);
  head += static_cast<char>(size);
  chunk.replace(0, headroom, head);
  return chunk;
}

using Read = Awaitable<std::string> (container::Process::*)(size_t length, size_t headroom);

Awaitable<std::string> read_output(AgentContext& context, Read read, std::string payload) {
  grpc::ReadStreamRequest request;
  if (!request.ParseFromString(payload))
    throw Error(Code::kInvalidArgument, "request to read an output does not parse");
  check_ids(request);
  const auto process =
      context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kInvalidArgument);
  // Exact for full chunks, which then stay where they are.
  constexpr size_t kHeadroom = 4;
  std::string chunk = co_await ((*process).*read)(read_length(request), kHeadroom);
  co_return around(std::move(chunk), kHeadroom);
}

void add_read(ttrpc::Server& server, const char* name, AgentContext& context, Read read) {
  server.add(kAgentService, name, [&context, read](std::string payload, ttrpc::RequestInfo) {
    return read_output(context, read, std::move(payload));
  });
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
  add_read(server, "ReadStdout", context, &container::Process::read_stdout);
  add_read(server, "ReadStderr", context, &container::Process::read_stderr);
  add_method(server, "WriteStdin", context, write_stdin);
  add_method(server, "CloseStdin", context, close_stdin);
  add_method(server, "TtyWinResize", context, resize);
}

}  // namespace kata::rpc
