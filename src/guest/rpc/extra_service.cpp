#include "guest/rpc/extra_service.h"

#include "guest/rpc/copy_file.h"
#include "guest/rpc/guest_clock.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/process_stream.h"
#include "guest/sandbox/paths.h"

#include "agent/katacpp.pb.h"

namespace kata::rpc {
namespace {

namespace pb = katacpp::agent::v1;

constexpr const char* kService = "katacpp.agent.v1.Extra";

void set_spec_extras(AgentContext& context, const pb::SetSpecExtrasRequest& request, Empty&) {
  check_container_id(request.container_id());
  check_exec_id(request.exec_id());
  context.extras.put(request.container_id(), request.exec_id(), request.json());
}

void list_processes(AgentContext& context, const pb::ListProcessesRequest& request,
                    pb::ListProcessesResponse& response) {
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kNotFound);
  const auto started = context.sandbox.process_ids(request.container_id());
  for (const pid_t pid : container->processes()) {
    auto& entry = *response.add_processes();
    entry.set_pid(static_cast<uint32_t>(pid));
    if (const auto found = started.find(pid); found != started.end()) entry.set_exec_id(found->second);
  }
}

Awaitable<> wait_exit(AgentContext& context, const pb::WaitExitRequest& request,
                      pb::WaitExitResponse& response) {
  check_container_id(request.container_id());
  check_exec_id(request.exec_id());
  const auto process =
      co_await context.sandbox.wait_exit(request.container_id(), request.exec_id(), Code::kNotFound);
  response.set_status(*process->exit_code());
  const auto nanos = [](auto duration) {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
  };
  response.set_exited_at_unix_nanos(nanos(process->end_time().wall.time_since_epoch()));
  response.set_nanos_since_exit(nanos(std::chrono::steady_clock::now() - process->end_time().steady));
}

void open_stream(AgentContext& context, const pb::OpenStreamRequest& request,
                 pb::OpenStreamResponse& response) {
  check_container_id(request.container_id());
  check_exec_id(request.exec_id());
  const auto kind = request.kind() == pb::OpenStreamRequest::STDOUT   ? StreamKind::kStdout
                    : request.kind() == pb::OpenStreamRequest::STDERR ? StreamKind::kStderr
                                                                      : StreamKind::kStdin;
  if (!pb::OpenStreamRequest::Kind_IsValid(request.kind())) {
    throw Error(Code::kInvalidArgument,
                "stream of a process: there is no kind " + std::to_string(request.kind()));
  }
  auto process = context.sandbox.find_process(request.container_id(), request.exec_id(), Code::kNotFound);
  response.set_port(open_process_stream(std::move(process), kind, context.listens_at, context.tasks));
}

void adjust_clock(AgentContext&, const pb::AdjustClockRequest& request, pb::AdjustClockResponse& response) {
  response.set_unix_nanos(wall_clock().count());
  adjust_wall_clock(std::chrono::nanoseconds(request.nanos()));
}

void remove_files(AgentContext&, const pb::RemoveFilesRequest& request, Empty&) {
  for (const std::string& path : request.paths()) remove_copied(sandbox::kShareRoot, path);
}

void rewrite(AgentContext&, const pb::RewriteFileRequest& request, Empty&) {
  CopyRequest chunk;
  chunk.path = request.path();
  chunk.file_size = request.file_size();
  chunk.file_mode = request.mode();
  chunk.uid = request.uid();
  chunk.gid = request.gid();
  chunk.offset = request.offset();
  chunk.data = request.data();
  rewrite_file(sandbox::kShareRoot, chunk);
}

void boot_times(AgentContext& context, const pb::BootTimesRequest&, pb::BootTimesResponse& response) {
  response.set_agent_started(context.times.started);
  response.set_modules_started(context.times.modules_started);
  response.set_modules_loaded(context.times.modules_loaded);
  response.set_listening(context.times.listening);
}

}  // namespace

void add_extra_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, kService, "SetSpecExtras", context, set_spec_extras);
  add_method(server, kService, "ListProcesses", context, list_processes);
  add_method(server, kService, "WaitExit", context, wait_exit);
  add_method(server, kService, "OpenStream", context, open_stream);
  add_method(server, kService, "AdjustClock", context, adjust_clock);
  add_method(server, kService, "RemoveFiles", context, remove_files);
  add_method(server, kService, "RewriteFile", context, rewrite);
  add_method(server, kService, "BootTimes", context, boot_times);
}

}  // namespace kata::rpc
