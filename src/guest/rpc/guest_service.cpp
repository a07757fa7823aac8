#include "guest/rpc/guest_service.h"

#include <algorithm>
#include <sys/stat.h>
#include <sys/swap.h>

#include <unistd.h>

#include "guest/metrics/metrics.h"
#include "guest/rpc/copy_file.h"
#include "guest/rpc/hot_plug.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/packet_filter.h"
#include "guest/rpc/utf8.h"
#include "guest/rpc/volume_resize.h"
#include "guest/rpc/volume_stats.h"
#include "guest/sandbox/folders.h"
#include "guest/sandbox/paths.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"
#include "lib/oci/pod_annotations.h"

#include "agent/agent.pb.h"

namespace kata::rpc {
namespace {

constexpr const char* kSystem = "/sys/devices/system";

void copy(AgentContext&, const grpc::CopyFileRequest& request, Empty&) {
  sandbox::make_folders(sandbox::kShareRoot);
  CopyRequest copy;
  copy.path = request.path();
  copy.file_size = request.file_size();
  copy.file_mode = request.file_mode();
  copy.directory_mode = request.dir_mode();
  copy.uid = request.uid();
  copy.gid = request.gid();
  copy.offset = request.offset();
  copy.data = request.data();
  copy_file(sandbox::kShareRoot, copy);
}

Awaitable<> online(AgentContext& context, const grpc::OnlineCPUMemRequest& request, Empty&) {
  if (request.nb_cpus() > 0) co_await online_cpus(kSystem, request.nb_cpus());
  if (!request.cpu_only()) online_memory(kSystem);
  if (request.nb_cpus() == 0) co_return;
  // New CPUs are in no cpuset that was written before.
  for (const auto& container : context.sandbox.containers()) {
    const auto& config = container->spec().linux_config;
    if (!config || !config->resources || !config->resources->cpu || config->resources->cpu->cpus.empty())
      continue;
    oci::Resources cpuset;
    cpuset.cpu.emplace();
    cpuset.cpu->cpus = config->resources->cpu->cpus;
    try {
      container->update(cpuset);
    } catch (const Error& error) {
      log::warning("cpuset not applied again", {{"container", container->id()}, {"error", error.message()}});
    }
  }
}

void probe(AgentContext&, const grpc::MemHotplugByProbeRequest& request, Empty&) {
  probe_memory(kSystem, {request.memhotplugprobeaddr().begin(), request.memhotplugprobeaddr().end()});
}

void swap_on(const std::string& node) {
  if (::swapon(node.c_str(), 0) != 0) throw_errno("using " + node + " as swap");
}

Awaitable<> add_swap(AgentContext& context, const grpc::AddSwapRequest& request, Empty&) {
  swap_on(co_await context.find_slots({request.pcipath().begin(), request.pcipath().end()}));
}

void add_swap_path(AgentContext&, const grpc::AddSwapPathRequest& request, Empty&) {
  if (!request.path().starts_with("/dev/")) throw Error(Code::kInvalidArgument, "path is not below /dev");
  swap_on(request.path());
}

Awaitable<> get_volume_stats(AgentContext&, const grpc::VolumeStatsRequest& request,
                             grpc::VolumeStatsResponse& response) {
  response = co_await volume_stats(request.volume_guest_path());
}

// A disk that grew on the node may not have told the guest yet. One that does not is refused as too small.
Awaitable<> grow_volume(AgentContext& context, const grpc::ResizeVolumeRequest& request, Empty&) {
  try {
    device::Lookup room = room_lookup(request.volume_guest_path(), request.size());
    co_await device::wait_for(context.uevents, std::move(room), "room for the volume",
                              context.config.hotplug_timeout);
  } catch (const Error& error) {
    log::debug("a volume is to grow beyond its device", {{"error", error.message()}});
  }
  co_await resize_volume(request.volume_guest_path(), request.size());
}

void get_metrics(AgentContext& context, const grpc::GetMetricsRequest&, grpc::Metrics& response) {
  response.set_metrics(lossy_utf8(metrics::collect("/proc", ++context.scrapes)));
}

IpFamily family_of(bool is_ipv6) {
  return is_ipv6 ? IpFamily::kV6 : IpFamily::kV4;
}

Awaitable<> get_ip_tables(AgentContext&, const grpc::GetIPTablesRequest& request,
                          grpc::GetIPTablesResponse& response) {
  response.set_data(co_await save_packet_filter(family_of(request.is_ipv6())));
}

Awaitable<> set_ip_tables(AgentContext&, const grpc::SetIPTablesRequest& request,
                          grpc::SetIPTablesResponse& response) {
  response.set_data(co_await restore_packet_filter(family_of(request.is_ipv6()), request.data()));
}

// Looking at a mount point that is gone on the host makes the kernel drop its mount.
void remove_stale_mounts(AgentContext&, const grpc::RemoveStaleVirtiofsShareMountsRequest&, Empty&) {
  for (const std::string& path : kernel::mounts_below(sandbox::kShareRoot)) {
    struct stat info{};
    const bool there = ::stat(path.c_str(), &info) == 0;
    log::debug("looked at a shared mount", {{"path", path}, {"there", there ? "yes" : "no"}});
  }
}

constexpr size_t kMaxTerminationLog = 4096;

// The file that a container wrote its last words to; its content may be anything.
std::string termination_log(const container::Container& container) {
  const auto& annotations = container.spec().annotations;
  const auto path = annotations.find(std::string(oci::kTerminationPath));
  if (path == annotations.end())
    throw Error(Code::kNotFound,
                "container " + container.id() + " has no annotation " + std::string(oci::kTerminationPath));
  const auto& mounts = container.spec().mounts;
  const auto mount = std::ranges::find(mounts, path->second, &oci::Mount::destination);
  if (mount == mounts.end())
    throw Error(Code::kNotFound, "container " + container.id() + " has no mount on " + path->second);
  const UniqueFd file = open_file(mount->source, O_RDONLY | O_NONBLOCK);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    throw Error(Code::kFailedPrecondition,
                "the termination log of container " + container.id() + " is no file");
  std::string content(kMaxTerminationLog, '\0');
  const ssize_t size = ::pread(file.get(), content.data(), content.size(), 0);
  if (size < 0) throw_errno("reading the termination log of container " + container.id());
  content.resize(static_cast<size_t>(size));
  return content;
}

void diagnostic_data(AgentContext& context, const grpc::GetDiagnosticDataRequest& request,
                     grpc::GetDiagnosticDataResponse& response) {
  if (request.log_type() != "termination_log")
    throw Error(Code::kInvalidArgument,
                "log_type \"" + request.log_type().substr(0, 100) + "\": only termination_log is known");
  check_container_id(request.container_id());
  const auto container = context.sandbox.find_container(request.container_id(), Code::kNotFound);
  response.set_data(lossy_utf8(termination_log(*container)));
}

void memory_agent_cgroup(AgentContext&, const grpc::MemAgentMemcgConfig&, Empty&) {
  throw Error(Code::kFailedPrecondition, "the memory agent is off in this guest");
}

void memory_agent_compact(AgentContext&, const grpc::MemAgentCompactConfig&, Empty&) {
  throw Error(Code::kFailedPrecondition, "the memory agent is off in this guest");
}

}  // namespace

void add_guest_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, "CopyFile", context, copy);
  add_method(server, "OnlineCPUMem", context, online);
  add_method(server, "MemHotplugByProbe", context, probe);
  add_method(server, "AddSwap", context, add_swap);
  add_method(server, "AddSwapPath", context, add_swap_path);
  add_method(server, "GetVolumeStats", context, get_volume_stats);
  add_method(server, "ResizeVolume", context, grow_volume);
  add_method(server, "GetMetrics", context, get_metrics);
  add_method(server, "GetIPTables", context, get_ip_tables);
  add_method(server, "SetIPTables", context, set_ip_tables);
  add_method(server, "RemoveStaleVirtiofsShareMounts", context, remove_stale_mounts);
  add_method(server, "GetDiagnosticData", context, diagnostic_data);
  add_method(server, "MemAgentMemcgSet", context, memory_agent_cgroup);
  add_method(server, "MemAgentCompactSet", context, memory_agent_compact);
}

}  // namespace kata::rpc
