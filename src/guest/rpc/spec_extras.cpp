#include "guest/rpc/spec_extras.h"

#include "lib/error/error.h"
#include "lib/oci/json.h"

namespace kata::rpc {
namespace {

// A host sends one just before its container: many waiting ones are a leak or an attack.
constexpr size_t kMaxWaiting = 256;

void merge(const oci::Resources& from, oci::Resources& to) {
  to.rdma = from.rdma;
  to.unified = from.unified;
  if (from.cpu && (from.cpu->burst || from.cpu->idle)) {
    if (!to.cpu) to.cpu.emplace();
    to.cpu->burst = from.cpu->burst;
    to.cpu->idle = from.cpu->idle;
  }
  if (from.memory && from.memory->check_before_update) {
    if (!to.memory) to.memory.emplace();
    to.memory->check_before_update = true;
  }
}

void merge(const oci::Linux& from, oci::Linux& to) {
  to.personality = from.personality;
  to.time_offsets = from.time_offsets;
  if (from.intel_rdt) to.intel_rdt = from.intel_rdt;
  if (from.resources) {
    if (!to.resources) to.resources.emplace();
    merge(*from.resources, *to.resources);
  }
  // The host may have taken seccomp away on purpose.
  if (from.seccomp && to.seccomp) {
    to.seccomp->default_errno_ret = from.seccomp->default_errno_ret;
    to.seccomp->listener_path = from.seccomp->listener_path;
    to.seccomp->listener_metadata = from.seccomp->listener_metadata;
  }
}

}  // namespace

void merge_extras(const oci::Process& from, oci::Process& to) {
  to.user.umask = from.user.umask;
  to.scheduler = from.scheduler;
  to.io_priority = from.io_priority;
  to.exec_cpu_affinity_initial = from.exec_cpu_affinity_initial;
  to.exec_cpu_affinity_final = from.exec_cpu_affinity_final;
  // 0 cannot be told from absent in the message.
  if (!to.oom_score_adj) to.oom_score_adj = from.oom_score_adj;
}

void merge_extras(const oci::Spec& from, oci::Spec& to) {
  to.domainname = from.domainname;
  if (from.process && to.process) merge_extras(*from.process, *to.process);
  if (from.linux_config) {
    if (!to.linux_config) to.linux_config.emplace();
    merge(*from.linux_config, *to.linux_config);
  }
  // The host rewrites sources, not destinations.
  for (oci::Mount& mount : to.mounts) {
    for (const oci::Mount& extra : from.mounts) {
      if (extra.destination != mount.destination) continue;
      mount.uid_mappings = extra.uid_mappings;
      mount.gid_mappings = extra.gid_mappings;
    }
  }
}

void SpecExtras::put(const std::string& container_id, const std::string& exec_id, std::string_view json) {
  oci::Spec spec;
  if (exec_id.empty()) {
    auto parsed = oci::parse_spec(json);
    if (!parsed) throw parsed.error().within("json");
    spec = std::move(*parsed);
  } else {
    auto parsed = oci::parse_process(json);
    if (!parsed) throw parsed.error().within("json");
    spec.process = std::move(*parsed);
  }
  const Key key{container_id, exec_id};
  if (!waiting_.contains(key) && waiting_.size() >= kMaxWaiting)
    throw Error(Code::kResourceExhausted, "too many spec extras wait for their container");
  waiting_[key] = std::move(spec);
}

void SpecExtras::apply(const std::string& container_id, oci::Spec& spec) {
  const auto node = waiting_.extract({container_id, ""});
  if (!node.empty()) merge_extras(node.mapped(), spec);
}

void SpecExtras::apply(const std::string& container_id, const std::string& exec_id, oci::Process& process) {
  const auto node = waiting_.extract({container_id, exec_id});
  if (!node.empty() && node.mapped().process) merge_extras(*node.mapped().process, process);
}

void SpecExtras::forget(const std::string& container_id) {
  std::erase_if(waiting_, [&](const auto& entry) { return entry.first.first == container_id; });
}

}  // namespace kata::rpc
