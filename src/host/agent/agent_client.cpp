#include "host/agent/agent_client.h"

#include <algorithm>
#include <utility>

#include "host/agent/convert.h"
#include "host/agent/spec_message.h"
#include "lib/error/error.h"

#include "agent/agent.pb.h"
#include "agent/health.pb.h"
#include "agent/katacpp.pb.h"

namespace kata::agent {
namespace {

constexpr const char* kAgentService = "grpc.AgentService";
constexpr const char* kHealthService = "grpc.Health";
constexpr const char* kExtraService = "katacpp.agent.v1.Extra";

using Empty = google::protobuf::Empty;

// For the way to a port on which the guest listens already.
constexpr std::chrono::milliseconds kConnectPause{20};
constexpr std::chrono::seconds kConnectLimit{5};

// A request that names a process.
template <typename Request>
Request process_request(const std::string& id, const std::string& exec_id) {
  Request request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  return request;
}

template <typename Request>
Request container_request(const std::string& id) {
  Request request;
  request.set_container_id(id);
  return request;
}

// Adds the call and the container to whatever goes wrong, and notes how long the answer took.
template <typename Response>
Awaitable<Response> described(Awaitable<Response> answer, std::string context,
                              std::shared_ptr<Latencies> latencies = nullptr, const char* method = "") {
  const TimePoint begin = std::chrono::steady_clock::now();
  std::exception_ptr failure;
  Response response;
  try {
    response = co_await std::move(answer);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (latencies) latencies->add(snake_case(method), std::chrono::steady_clock::now() - begin);
  if (failure) throw to_error(failure).within(context);
  co_return response;
}

}  // namespace

AgentClient::AgentClient(StreamSocket socket, std::string sandbox_id, Limits limits,
                         std::shared_ptr<vsock::GuestDialer> dialer)
    : sandbox_id_(std::move(sandbox_id)),
      limits_(limits),
      dialer_(dialer && dialer->reaches_ports() ? std::move(dialer) : nullptr),
      client_(ttrpc::Client::create(std::move(socket), "agent of sandbox " + sandbox_id_)) {}

template <typename Response>
Awaitable<Response> AgentClient::call(const char* method, const google::protobuf::MessageLite& request,
                                      const std::string& id, Limit limit) {
  ttrpc::CallOptions options;
  if (limit == Limit::kRequest) options.timeout = limits_.request;
  std::string context = std::string("guest agent, ") + method;
  if (!id.empty()) context += " of container " + id;
  return described<Response>(ttrpc::call<Response>(client_, kAgentService, method, request, options),
                             std::move(context), limit == Limit::kRequest ? latencies_ : nullptr, method);
}

Awaitable<> AgentClient::check() {
  ttrpc::CallOptions options;
  options.timeout = limits_.health;
  const grpc::CheckRequest request;
  const auto answer =
      co_await ttrpc::call<grpc::HealthCheckResponse>(client_, kHealthService, "Check", request, options);
  if (answer.status() != grpc::HealthCheckResponse::SERVING)
    throw Error(Code::kUnavailable, "guest agent does not serve");
}

Awaitable<> AgentClient::create_sandbox(SandboxSetup setup) {
  grpc::CreateSandboxRequest request;
  request.set_sandbox_id(setup.sandbox_id);
  request.set_hostname(setup.hostname);
  for (const std::string& line : setup.dns) request.add_dns(line);
  for (const Storage& storage : setup.storages) to_message(storage, *request.add_storages());
  request.set_guest_hook_path(setup.guest_hook_path);
  for (const KernelModule& module : setup.kernel_modules) {
    auto* item = request.add_kernel_modules();
    item->set_name(module.name);
    for (const std::string& parameter : module.parameters) item->add_parameters(parameter);
  }
  co_await call<Empty>("CreateSandbox", request, "");
}

Awaitable<> AgentClient::destroy_sandbox() {
  ttrpc::CallOptions options;
  options.timeout = std::chrono::seconds(1);
  const grpc::DestroySandboxRequest request;
  co_await ttrpc::call<Empty>(client_, kAgentService, "DestroySandbox", request, options);
}

Awaitable<GuestDetails> AgentClient::guest_details() {
  grpc::GuestDetailsRequest request;
  request.set_mem_block_size(true);
  request.set_mem_hotplug_probe(true);
  const auto answer = co_await call<grpc::GuestDetailsResponse>("GetGuestDetails", request, "");
  GuestDetails details;
  details.agent_version = answer.agent_details().version();
  details.memory_block_bytes = answer.mem_block_size_bytes();
  details.storage_drivers.assign(answer.agent_details().storage_handlers().begin(),
                                 answer.agent_details().storage_handlers().end());
  details.features.assign(answer.agent_details().extra_features().begin(),
                          answer.agent_details().extra_features().end());
  co_return details;
}

Awaitable<std::string> AgentClient::oom_event() {
  const grpc::GetOOMEventRequest request;
  const auto answer = co_await call<grpc::OOMEvent>("GetOOMEvent", request, "", Limit::kNone);
  co_return answer.container_id();
}

Awaitable<> AgentClient::set_clock() {
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  grpc::SetGuestDateTimeRequest request;
  request.set_sec(now.count() / 1'000'000);
  request.set_usec(now.count() % 1'000'000);
  co_await call<Empty>("SetGuestDateTime", request, "");
}

Awaitable<std::string> AgentClient::metrics() {
  const grpc::GetMetricsRequest request;
  const auto answer = co_await call<grpc::Metrics>("GetMetrics", request, "");
  co_return answer.metrics();
}

Awaitable<> AgentClient::online_cpus_and_memory(uint32_t cpus) {
  grpc::OnlineCPUMemRequest request;
  request.set_wait(true);
  request.set_nb_cpus(cpus);
  co_await call<google::protobuf::Empty>("OnlineCPUMem", request, "");
}

std::string AgentClient::latencies() const {
  return latencies_->prometheus("kata_shim_agent_rpc_durations_histogram_milliseconds",
                                "How long the guest agent took to answer.");
}

Awaitable<std::string> AgentClient::ip_tables(IpVersion version) {
  grpc::GetIPTablesRequest request;
  request.set_is_ipv6(version == IpVersion::kV6);
  const auto answer = co_await call<grpc::GetIPTablesResponse>("GetIPTables", request, "");
  co_return answer.data();
}

Awaitable<std::string> AgentClient::set_ip_tables(IpVersion version, std::string rules) {
  grpc::SetIPTablesRequest request;
  request.set_is_ipv6(version == IpVersion::kV6);
  request.set_data(std::move(rules));
  const auto answer = co_await call<grpc::SetIPTablesResponse>("SetIPTables", request, "");
  co_return answer.data();
}

Awaitable<> AgentClient::set_policy(std::string policy) {
  grpc::SetPolicyRequest request;
  request.set_policy(std::move(policy));
  co_await call<Empty>("SetPolicy", request, "");
}

Awaitable<std::vector<VolumeUsage>> AgentClient::volume_stats(std::string guest_path) {
  grpc::VolumeStatsRequest request;
  request.set_volume_guest_path(std::move(guest_path));
  const auto answer = co_await call<grpc::VolumeStatsResponse>("GetVolumeStats", request, "");
  std::vector<VolumeUsage> usage;
  for (const auto& entry : answer.usage()) {
    usage.push_back({.available = entry.available(),
                     .total = entry.total(),
                     .used = entry.used(),
                     .unit = static_cast<VolumeUsage::Unit>(entry.unit())});
  }
  co_return usage;
}

Awaitable<> AgentClient::resize_volume(std::string guest_path, uint64_t bytes) {
  grpc::ResizeVolumeRequest request;
  request.set_volume_guest_path(std::move(guest_path));
  request.set_size(bytes);
  co_await call<Empty>("ResizeVolume", request, "");
}

Awaitable<> AgentClient::update_interface(Interface interface) {
  grpc::UpdateInterfaceRequest request;
  to_message(interface, *request.mutable_interface());
  co_await call<types::Interface>("UpdateInterface", request, "");
}

Awaitable<> AgentClient::update_routes(std::vector<Route> routes) {
  grpc::UpdateRoutesRequest request;
  for (const Route& route : routes) to_message(route, *request.mutable_routes()->add_routes());
  co_await call<grpc::Routes>("UpdateRoutes", request, "");
}

Awaitable<> AgentClient::add_neighbours(std::vector<Neighbour> neighbours) {
  grpc::AddARPNeighborsRequest request;
  for (const Neighbour& neighbour : neighbours)
    to_message(neighbour, *request.mutable_neighbors()->add_arpneighbors());
  co_await call<Empty>("AddARPNeighbors", request, "");
}

Awaitable<> AgentClient::create_container(ContainerSetup setup) {
  grpc::CreateContainerRequest request;
  request.set_container_id(setup.id);
  for (const Storage& storage : setup.storages) to_message(storage, *request.add_storages());
  for (const GuestDevice& device : setup.devices) {
    auto* item = request.add_devices();
    item->set_id(device.id);
    item->set_type(device.type);
    item->set_vm_path(device.vm_path);
    item->set_container_path(device.container_path);
    for (const std::string& option : device.options) item->add_options(option);
  }
  agent::to_message(setup.spec, *request.mutable_oci());
  request.set_sandbox_pidns(setup.sandbox_pidns);
  for (const SharedMount& mount : setup.shared_mounts) {
    auto* item = request.add_shared_mounts();
    item->set_name(mount.name);
    item->set_src_ctr(mount.source_container);
    item->set_src_path(mount.source_path);
    item->set_dst_ctr(mount.target_container);
    item->set_dst_path(mount.target_path);
  }
  co_await call<Empty>("CreateContainer", request, setup.id);
}

Awaitable<> AgentClient::start_container(std::string id) {
  co_await call<Empty>("StartContainer", container_request<grpc::StartContainerRequest>(id), id);
}

Awaitable<> AgentClient::remove_container(std::string id) {
  co_await call<Empty>("RemoveContainer", container_request<grpc::RemoveContainerRequest>(id), id);
}

Awaitable<> AgentClient::exec_process(std::string id, std::string exec_id, oci::Process process) {
  auto request = process_request<grpc::ExecProcessRequest>(id, exec_id);
  agent::to_message(process, *request.mutable_process());
  co_await call<Empty>("ExecProcess", request, id);
}

Awaitable<> AgentClient::signal_process(std::string id, std::string exec_id, uint32_t signal) {
  auto request = process_request<grpc::SignalProcessRequest>(id, exec_id);
  request.set_signal(signal);
  co_await call<Empty>("SignalProcess", request, id);
}

Awaitable<int> AgentClient::wait_process(std::string id, std::string exec_id) {
  const auto request = process_request<grpc::WaitProcessRequest>(id, exec_id);
  const auto answer = co_await call<grpc::WaitProcessResponse>("WaitProcess", request, id, Limit::kNone);
  co_return answer.status();
}

Awaitable<AgentClient::ProcessEnd> AgentClient::wait_exit(std::string id, std::string exec_id) {
  const auto request = process_request<katacpp::agent::v1::WaitExitRequest>(id, exec_id);
  const auto answer = co_await described<katacpp::agent::v1::WaitExitResponse>(
      ttrpc::call<katacpp::agent::v1::WaitExitResponse>(client_, kExtraService, "WaitExit", request),
      "guest agent, WaitExit of container " + id);
  // A guest that tells nonsense must not bring times from before the epoch.
  const auto age = std::chrono::nanoseconds(std::min<uint64_t>(
      answer.nanos_since_exit(), std::chrono::nanoseconds(std::chrono::hours(24 * 365)).count()));
  const auto now = std::chrono::system_clock::now();
  co_return ProcessEnd{.status = answer.status(),
                       .at = now - std::chrono::duration_cast<std::chrono::system_clock::duration>(age)};
}

Awaitable<> AgentClient::pause_container(std::string id) {
  co_await call<Empty>("PauseContainer", container_request<grpc::PauseContainerRequest>(id), id);
}

Awaitable<> AgentClient::resume_container(std::string id) {
  co_await call<Empty>("ResumeContainer", container_request<grpc::ResumeContainerRequest>(id), id);
}

Awaitable<> AgentClient::update_container(std::string id, oci::Resources resources) {
  auto request = container_request<grpc::UpdateContainerRequest>(id);
  agent::to_message(resources, *request.mutable_resources());
  co_await call<Empty>("UpdateContainer", request, id);
}

Awaitable<ContainerCounters> AgentClient::stats(std::string id) {
  const auto request = container_request<grpc::StatsContainerRequest>(id);
  co_return from_message(co_await call<grpc::StatsContainerResponse>("StatsContainer", request, id));
}

// What CopyFile and our own call for changes have in common.
template <typename Request>
void fill_chunk(FileChunk& chunk, Request& request) {
  request.set_path(chunk.path);
  request.set_uid(static_cast<int32_t>(chunk.uid));
  request.set_gid(static_cast<int32_t>(chunk.gid));
  request.set_file_size(static_cast<int64_t>(chunk.file_size));
  request.set_offset(static_cast<int64_t>(chunk.offset));
  request.set_data(std::move(chunk.data));
}

Awaitable<> AgentClient::copy_file(FileChunk chunk) {
  constexpr uint32_t kParentMode = 0755;
  grpc::CopyFileRequest request;
  fill_chunk(chunk, request);
  request.set_file_mode(chunk.mode);
  request.set_dir_mode(kParentMode);
  co_await call<Empty>("CopyFile", request, "");
}

Awaitable<std::string> AgentClient::termination_log(std::string id) {
  grpc::GetDiagnosticDataRequest request;
  request.set_log_type("termination_log");
  request.set_container_id(id);
  auto answer = co_await call<grpc::GetDiagnosticDataResponse>("GetDiagnosticData", request, id);
  co_return std::move(*answer.mutable_data());
}

template <typename Response>
Awaitable<std::optional<Response>> extra_answer(Awaitable<Response> answer, bool& available) {
  std::exception_ptr failure;
  Response response;
  try {
    response = co_await std::move(answer);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (!failure) co_return response;
  // The original agent answers an unknown service with one code or the other (facts: ttrpc-wire, section 4).
  const Error error = to_error(failure);
  if (error.code() != Code::kUnimplemented && error.message().find("is not found") == std::string::npos)
    throw error;
  available = false;
  co_return std::nullopt;
}

template <typename Response>
Awaitable<std::optional<Response>> AgentClient::call_extra(const char* method,
                                                           const google::protobuf::MessageLite& request,
                                                           std::string context, bool& available) {
  ttrpc::CallOptions options;
  options.timeout = limits_.request;
  auto answer = ttrpc::call<Response>(client_, kExtraService, method, request, options);
  return extra_answer<Response>(described<Response>(std::move(answer), std::move(context)), available);
}

Awaitable<bool> AgentClient::set_spec_extras(std::string id, std::string exec_id, std::string json) {
  if (!has_extras_) co_return false;
  katacpp::agent::v1::SetSpecExtrasRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_json(std::move(json));
  const auto answer = co_await call_extra<Empty>(
      "SetSpecExtras", request, "guest agent, SetSpecExtras of container " + id, has_extras_);
  co_return answer.has_value();
}

Awaitable<std::optional<std::vector<GuestProcess>>> AgentClient::list_processes(std::string id) {
  if (!has_extras_) co_return std::nullopt;
  katacpp::agent::v1::ListProcessesRequest request;
  request.set_container_id(id);
  const auto answer = co_await call_extra<katacpp::agent::v1::ListProcessesResponse>(
      "ListProcesses", request, "guest agent, ListProcesses of container " + id, has_extras_);
  if (!answer) co_return std::nullopt;
  std::vector<GuestProcess> processes;
  for (const auto& process : answer->processes())
    processes.push_back({.pid = process.pid(), .exec_id = process.exec_id()});
  co_return processes;
}

Awaitable<bool> AgentClient::remove_files(std::vector<std::string> paths) {
  if (!has_extras_ || !has_files_) co_return false;
  katacpp::agent::v1::RemoveFilesRequest request;
  for (std::string& path : paths) request.add_paths(std::move(path));
  const auto answer =
      co_await call_extra<Empty>("RemoveFiles", request, "guest agent, RemoveFiles", has_files_);
  co_return answer.has_value();
}

Awaitable<bool> AgentClient::rewrite_file(FileChunk chunk) {
  if (!has_extras_ || !has_files_) co_return false;
  katacpp::agent::v1::RewriteFileRequest request;
  fill_chunk(chunk, request);
  request.set_mode(chunk.mode & 07777);
  const auto answer = co_await call_extra<Empty>("RewriteFile", request,
                                                 "guest agent, RewriteFile of " + chunk.path, has_files_);
  co_return answer.has_value();
}

Awaitable<std::optional<std::chrono::nanoseconds>> AgentClient::adjust_clock(
    std::chrono::nanoseconds correction) {
  if (!has_extras_ || !has_clock_) co_return std::nullopt;
  katacpp::agent::v1::AdjustClockRequest request;
  request.set_nanos(correction.count());
  const auto answer = co_await call_extra<katacpp::agent::v1::AdjustClockResponse>(
      "AdjustClock", request, "guest agent, AdjustClock", has_clock_);
  if (!answer) co_return std::nullopt;
  co_return std::chrono::nanoseconds(answer->unix_nanos());
}

Awaitable<std::optional<StreamSocket>> AgentClient::open_stream(std::string id, std::string exec_id,
                                                                Stream stream) {
  using katacpp::agent::v1::OpenStreamRequest;
  if (!has_extras_ || !has_streams_ || !dialer_) co_return std::nullopt;
  auto request = process_request<OpenStreamRequest>(id, exec_id);
  request.set_kind(stream == Stream::kStdout   ? OpenStreamRequest::STDOUT
                   : stream == Stream::kStderr ? OpenStreamRequest::STDERR
                                               : OpenStreamRequest::STDIN);
  // An older agent of ours has the service without this call.
  const auto answer = co_await call_extra<katacpp::agent::v1::OpenStreamResponse>(
      "OpenStream", request, "guest agent, OpenStream of container " + id, has_streams_);
  if (!answer) co_return std::nullopt;
  co_return co_await vsock::connect_with_retry(dialer_, answer->port(), kConnectPause, kConnectLimit);
}

Awaitable<std::string> AgentClient::read(std::string id, std::string exec_id, Stream stream,
                                         uint32_t length) {
  auto request = process_request<grpc::ReadStreamRequest>(id, exec_id);
  request.set_len(length);
  auto answer = co_await call<grpc::ReadStreamResponse>(
      stream == Stream::kStdout ? "ReadStdout" : "ReadStderr", request, id, Limit::kNone);
  co_return std::move(*answer.mutable_data());
}

Awaitable<> AgentClient::write_stdin(std::string id, std::string exec_id, std::string data) {
  auto request = process_request<grpc::WriteStreamRequest>(id, exec_id);
  request.set_data(std::move(data));
  co_await call<grpc::WriteStreamResponse>("WriteStdin", request, id, Limit::kNone);
}

Awaitable<> AgentClient::close_stdin(std::string id, std::string exec_id) {
  co_await call<Empty>("CloseStdin", process_request<grpc::CloseStdinRequest>(id, exec_id), id);
}

Awaitable<> AgentClient::resize(std::string id, std::string exec_id, uint32_t rows, uint32_t columns) {
  auto request = process_request<grpc::TtyWinResizeRequest>(id, exec_id);
  request.set_row(rows);
  request.set_column(columns);
  co_await call<Empty>("TtyWinResize", request, id);
}

}  // namespace kata::agent
