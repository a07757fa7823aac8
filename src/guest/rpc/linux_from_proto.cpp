#include "guest/rpc/proto_check.h"
#include "guest/rpc/spec_from_proto.h"

namespace kata::rpc {
namespace {

template <typename Repeated>
std::vector<oci::IdMapping> mappings(const Repeated& from) {
  std::vector<oci::IdMapping> to;
  for (const grpc::LinuxIDMapping& entry : from)
    to.push_back({.host_id = entry.hostid(), .container_id = entry.containerid(), .size = entry.size()});
  return to;
}

oci::Device device(const grpc::LinuxDevice& from) {
  const std::string& type = from.type();
  if (type != "c" && type != "u" && type != "b" && type != "p")
    throw Error(Code::kInvalidArgument,
                "Linux.Devices.Type: \"" + type.substr(0, 100) + "\" is not c, u, b or p");
  if (!from.path().starts_with('/'))
    throw Error(Code::kInvalidArgument,
                "Linux.Devices.Path: \"" + from.path().substr(0, 300) + "\" is not absolute");
  return {.path = from.path(),
          .type = type,
          .major = from.major(),
          .minor = from.minor(),
          .file_mode = unless_zero<uint32_t>(from.filemode()),
          .uid = from.uid(),
          .gid = from.gid()};
}

oci::SeccompSyscall syscall(const grpc::LinuxSyscall& from) {
  oci::SeccompSyscall to;
  to.names = strings(from.names());
  to.action = known(NameKind::kSeccompAction, from.action(), "Linux.Seccomp.Syscalls.Action");
  to.errno_ret = unless_zero<uint32_t>(from.errnoret());
  for (const auto& arg : from.args()) {
    // A system call has six arguments.
    if (arg.index() > 5)
      throw Error(Code::kInvalidArgument,
                  "Linux.Seccomp.Syscalls.Args.Index: " + std::to_string(arg.index()) + " is above 5");
    to.args.push_back({.index = static_cast<uint32_t>(arg.index()),
                       .value = arg.value(),
                       .value_two = arg.valuetwo(),
                       .op = known(NameKind::kSeccompOperator, arg.op(), "Linux.Seccomp.Syscalls.Args.Op")});
  }
  return to;
}

oci::Seccomp seccomp(const grpc::LinuxSeccomp& from) {
  oci::Seccomp to;
  to.default_action = known(NameKind::kSeccompAction, from.defaultaction(), "Linux.Seccomp.DefaultAction");
  to.architectures =
      known_names(NameKind::kSeccompArchitecture, from.architectures(), "Linux.Seccomp.Architectures");
  to.flags = known_names(NameKind::kSeccompFlag, from.flags(), "Linux.Seccomp.Flags");
  for (const auto& entry : from.syscalls()) to.syscalls.push_back(syscall(entry));
  return to;
}

oci::Linux convert(const grpc::Linux& from) {
  oci::Linux to;
  to.uid_mappings = mappings(from.uidmappings());
  to.gid_mappings = mappings(from.gidmappings());
  to.sysctl = {from.sysctl().begin(), from.sysctl().end()};
  if (from.has_resources()) {
    auto resources = resources_from_proto(from.resources());
    if (!resources) throw resources.error();
    to.resources = std::move(*resources);
  }
  to.cgroups_path = from.cgroupspath();
  for (const auto& entry : from.namespaces())
    to.namespaces.push_back(
        {.type = known(NameKind::kNamespace, entry.type(), "Linux.Namespaces.Type"), .path = entry.path()});
  for (const auto& entry : from.devices()) to.devices.push_back(device(entry));
  // An empty message is what a spec without seccomp can become on its way.
  if (from.has_seccomp() && !from.seccomp().defaultaction().empty()) to.seccomp = seccomp(from.seccomp());
  to.rootfs_propagation = known(NameKind::kPropagation, from.rootfspropagation(), "Linux.RootfsPropagation");
  to.masked_paths = strings(from.maskedpaths());
  to.readonly_paths = strings(from.readonlypaths());
  to.mount_label = from.mountlabel();
  if (from.has_intelrdt() && !from.intelrdt().l3cacheschema().empty())
    to.intel_rdt =
        oci::IntelRdt{.clos_id = {}, .l3_cache_schema = from.intelrdt().l3cacheschema(), .mem_bw_schema = {}};
  return to;
}

}  // namespace

std::expected<oci::Linux, Error> linux_from_proto(const grpc::Linux& from) {
  try {
    return convert(from);
  } catch (const Error& error) {
    return std::unexpected(error);
  }
}

}  // namespace kata::rpc
