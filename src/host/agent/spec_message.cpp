#include "host/agent/spec_message.h"

namespace kata::agent {
namespace {

template <typename Source, typename Target>
void copy(const Source& source, Target* target) {
  for (const auto& item : source) *target->Add() = item;
}

void to_message(const std::vector<oci::IdMapping>& mappings,
                google::protobuf::RepeatedPtrField<grpc::LinuxIDMapping>* target) {
  for (const oci::IdMapping& mapping : mappings) {
    auto* item = target->Add();
    item->set_hostid(mapping.host_id);
    item->set_containerid(mapping.container_id);
    item->set_size(mapping.size);
  }
}

void to_message(const std::vector<oci::Hook>& hooks, google::protobuf::RepeatedPtrField<grpc::Hook>* target) {
  for (const oci::Hook& hook : hooks) {
    auto* item = target->Add();
    item->set_path(hook.path);
    copy(hook.args, item->mutable_args());
    copy(hook.env, item->mutable_env());
    item->set_timeout(hook.timeout);
  }
}

void to_message(const oci::Seccomp& seccomp, grpc::LinuxSeccomp& message) {
  message.set_defaultaction(seccomp.default_action);
  copy(seccomp.architectures, message.mutable_architectures());
  copy(seccomp.flags, message.mutable_flags());
  for (const oci::SeccompSyscall& rule : seccomp.syscalls) {
    auto* item = message.add_syscalls();
    copy(rule.names, item->mutable_names());
    item->set_action(rule.action);
    if (rule.errno_ret) item->set_errnoret(*rule.errno_ret);
    for (const oci::SeccompArg& arg : rule.args) {
      auto* target = item->add_args();
      target->set_index(arg.index);
      target->set_value(arg.value);
      target->set_valuetwo(arg.value_two);
      target->set_op(arg.op);
    }
  }
}

void to_message(const oci::MemoryLimits& memory, grpc::LinuxMemory& message) {
  message.set_limit(memory.limit.value_or(0));
  message.set_reservation(memory.reservation.value_or(0));
  message.set_swap(memory.swap.value_or(0));
  message.set_kernel(memory.kernel.value_or(0));
  message.set_kerneltcp(memory.kernel_tcp.value_or(0));
  message.set_swappiness(memory.swappiness.value_or(0));
  message.set_disableoomkiller(memory.disable_oom_killer);
}

void to_message(const oci::CpuLimits& cpu, grpc::LinuxCPU& message) {
  message.set_shares(cpu.shares.value_or(0));
  message.set_quota(cpu.quota.value_or(0));
  message.set_period(cpu.period.value_or(0));
  message.set_realtimeruntime(cpu.realtime_runtime.value_or(0));
  message.set_realtimeperiod(cpu.realtime_period.value_or(0));
  message.set_cpus(cpu.cpus);
  message.set_mems(cpu.mems);
}

void to_message(const std::vector<oci::ThrottleDevice>& devices,
                google::protobuf::RepeatedPtrField<grpc::LinuxThrottleDevice>* target) {
  for (const oci::ThrottleDevice& device : devices) {
    auto* item = target->Add();
    item->set_major(device.major);
    item->set_minor(device.minor);
    item->set_rate(device.rate);
  }
}

void to_message(const oci::BlockIoLimits& limits, grpc::LinuxBlockIO& message) {
  message.set_weight(limits.weight.value_or(0));
  message.set_leafweight(limits.leaf_weight.value_or(0));
  for (const oci::WeightDevice& device : limits.weight_device) {
    auto* item = message.add_weightdevice();
    item->set_major(device.major);
    item->set_minor(device.minor);
    item->set_weight(device.weight.value_or(0));
    item->set_leafweight(device.leaf_weight.value_or(0));
  }
  to_message(limits.throttle_read_bps, message.mutable_throttlereadbpsdevice());
  to_message(limits.throttle_write_bps, message.mutable_throttlewritebpsdevice());
  to_message(limits.throttle_read_iops, message.mutable_throttlereadiopsdevice());
  to_message(limits.throttle_write_iops, message.mutable_throttlewriteiopsdevice());
}

void to_message(const oci::Linux& source, grpc::Linux& message) {
  to_message(source.uid_mappings, message.mutable_uidmappings());
  to_message(source.gid_mappings, message.mutable_gidmappings());
  for (const auto& [key, value] : source.sysctl) (*message.mutable_sysctl())[key] = value;
  if (source.resources) agent::to_message(*source.resources, *message.mutable_resources());
  message.set_cgroupspath(source.cgroups_path);
  for (const oci::Namespace& entry : source.namespaces) {
    auto* item = message.add_namespaces();
    item->set_type(entry.type);
    item->set_path(entry.path);
  }
  for (const oci::Device& device : source.devices) {
    auto* item = message.add_devices();
    item->set_path(device.path);
    item->set_type(device.type);
    item->set_major(device.major);
    item->set_minor(device.minor);
    item->set_filemode(device.file_mode.value_or(0));
    item->set_uid(device.uid.value_or(0));
    item->set_gid(device.gid.value_or(0));
  }
  if (source.seccomp) to_message(*source.seccomp, *message.mutable_seccomp());
  message.set_rootfspropagation(source.rootfs_propagation);
  copy(source.masked_paths, message.mutable_maskedpaths());
  copy(source.readonly_paths, message.mutable_readonlypaths());
  message.set_mountlabel(source.mount_label);
  if (source.intel_rdt) message.mutable_intelrdt()->set_l3cacheschema(source.intel_rdt->l3_cache_schema);
}

}  // namespace

void to_message(const oci::Process& process, grpc::Process& message) {
  message.set_terminal(process.terminal);
  if (process.console_size) {
    message.mutable_consolesize()->set_height(process.console_size->height);
    message.mutable_consolesize()->set_width(process.console_size->width);
  }
  auto* user = message.mutable_user();
  user->set_uid(process.user.uid);
  user->set_gid(process.user.gid);
  for (const uint32_t gid : process.user.additional_gids) user->add_additionalgids(gid);
  user->set_username(process.user.username);
  copy(process.args, message.mutable_args());
  copy(process.env, message.mutable_env());
  message.set_cwd(process.cwd);
  if (process.capabilities) {
    auto* caps = message.mutable_capabilities();
    copy(process.capabilities->bounding, caps->mutable_bounding());
    copy(process.capabilities->effective, caps->mutable_effective());
    copy(process.capabilities->inheritable, caps->mutable_inheritable());
    copy(process.capabilities->permitted, caps->mutable_permitted());
    copy(process.capabilities->ambient, caps->mutable_ambient());
  }
  for (const oci::Rlimit& limit : process.rlimits) {
    auto* item = message.add_rlimits();
    item->set_type(limit.type);
    item->set_hard(limit.hard);
    item->set_soft(limit.soft);
  }
  message.set_nonewprivileges(process.no_new_privileges);
  message.set_apparmorprofile(process.apparmor_profile);
  message.set_oomscoreadj(process.oom_score_adj.value_or(0));
  message.set_selinuxlabel(process.selinux_label);
}

void to_message(const oci::Resources& resources, grpc::LinuxResources& message) {
  for (const oci::DeviceCgroupRule& rule : resources.devices) {
    auto* item = message.add_devices();
    item->set_allow(rule.allow);
    item->set_type(rule.type);
    item->set_major(rule.major.value_or(-1));
    item->set_minor(rule.minor.value_or(-1));
    item->set_access(rule.access);
  }
  if (resources.memory) to_message(*resources.memory, *message.mutable_memory());
  if (resources.cpu) to_message(*resources.cpu, *message.mutable_cpu());
  if (resources.pids_limit) message.mutable_pids()->set_limit(*resources.pids_limit);
  if (resources.block_io) to_message(*resources.block_io, *message.mutable_blockio());
  for (const oci::HugepageLimit& limit : resources.hugepage_limits) {
    auto* item = message.add_hugepagelimits();
    item->set_pagesize(limit.page_size);
    item->set_limit(limit.limit);
  }
  if (resources.network) {
    message.mutable_network()->set_classid(resources.network->class_id.value_or(0));
    for (const oci::InterfacePriority& priority : resources.network->priorities) {
      auto* item = message.mutable_network()->add_priorities();
      item->set_name(priority.name);
      item->set_priority(priority.priority);
    }
  }
}

void to_message(const oci::Spec& spec, grpc::Spec& message) {
  message.set_version(spec.version);
  if (spec.process) agent::to_message(*spec.process, *message.mutable_process());
  if (spec.root) {
    message.mutable_root()->set_path(spec.root->path);
    message.mutable_root()->set_readonly(spec.root->readonly);
  }
  message.set_hostname(spec.hostname);
  for (const oci::Mount& mount : spec.mounts) {
    auto* item = message.add_mounts();
    item->set_destination(mount.destination);
    item->set_source(mount.source);
    item->set_type(mount.type);
    copy(mount.options, item->mutable_options());
  }
  auto* hooks = message.mutable_hooks();
  to_message(spec.hooks.prestart, hooks->mutable_prestart());
  to_message(spec.hooks.poststart, hooks->mutable_poststart());
  to_message(spec.hooks.poststop, hooks->mutable_poststop());
  to_message(spec.hooks.create_runtime, hooks->mutable_createruntime());
  to_message(spec.hooks.create_container, hooks->mutable_createcontainer());
  to_message(spec.hooks.start_container, hooks->mutable_startcontainer());
  for (const auto& [key, value] : spec.annotations) (*message.mutable_annotations())[key] = value;
  if (spec.linux_config) to_message(*spec.linux_config, *message.mutable_linux());
}

bool needs_extras(const oci::Process& process) {
  return process.user.umask || process.scheduler || process.io_priority ||
         !process.exec_cpu_affinity_initial.empty() || !process.exec_cpu_affinity_final.empty();
}

bool needs_extras(const oci::Spec& spec) {
  if (!spec.domainname.empty() || (spec.process && needs_extras(*spec.process))) return true;
  for (const oci::Mount& mount : spec.mounts) {
    if (!mount.uid_mappings.empty() || !mount.gid_mappings.empty()) return true;
  }
  if (!spec.linux_config) return false;
  const oci::Linux& config = *spec.linux_config;
  if (!config.time_offsets.empty() || !config.personality.empty()) return true;
  if (config.seccomp && config.seccomp->default_errno_ret) return true;
  if (!config.resources) return false;
  const auto& cpu = config.resources->cpu;
  return !config.resources->unified.empty() || !config.resources->rdma.empty() ||
         (cpu && (cpu->burst || cpu->idle));
}

}  // namespace kata::agent
