#include "guest/rpc/spec_from_proto.h"

#include "guest/rpc/proto_check.h"

namespace kata::rpc {
namespace {

oci::Capabilities capabilities(const grpc::LinuxCapabilities& from) {
  const auto names = [](const auto& list, std::string_view field) {
    return known_names(NameKind::kCapability, list, field);
  };
  return {.bounding = names(from.bounding(), "Process.Capabilities.Bounding"),
          .effective = names(from.effective(), "Process.Capabilities.Effective"),
          .inheritable = names(from.inheritable(), "Process.Capabilities.Inheritable"),
          .permitted = names(from.permitted(), "Process.Capabilities.Permitted"),
          .ambient = names(from.ambient(), "Process.Capabilities.Ambient")};
}

oci::Process process(const grpc::Process& from) {
  oci::Process to;
  to.terminal = from.terminal();
  if (from.has_consolesize() && (from.consolesize().height() != 0 || from.consolesize().width() != 0))
    to.console_size = oci::Box{.height = from.consolesize().height(), .width = from.consolesize().width()};
  to.user.uid = from.user().uid();
  to.user.gid = from.user().gid();
  to.user.additional_gids = {from.user().additionalgids().begin(), from.user().additionalgids().end()};
  to.user.username = from.user().username();
  to.args = strings(from.args());
  to.env = strings(from.env());
  to.cwd = from.cwd();
  if (from.has_capabilities()) to.capabilities = capabilities(from.capabilities());
  for (const auto& limit : from.rlimits())
    to.rlimits.push_back({.type = known(NameKind::kRlimit, limit.type(), "Process.Rlimits.Type"),
                          .hard = limit.hard(),
                          .soft = limit.soft()});
  to.no_new_privileges = from.nonewprivileges();
  to.apparmor_profile = from.apparmorprofile();
  to.oom_score_adj = unless_zero<int64_t>(from.oomscoreadj());
  to.selinux_label = from.selinuxlabel();
  return to;
}

template <typename Repeated>
std::vector<oci::Hook> hooks(const Repeated& from) {
  std::vector<oci::Hook> to;
  for (const grpc::Hook& hook : from)
    to.push_back({.path = hook.path(),
                  .args = strings(hook.args()),
                  .env = strings(hook.env()),
                  .timeout = hook.timeout()});
  return to;
}

oci::Spec convert(const grpc::Spec& from) {
  oci::Spec to;
  to.version = from.version();
  if (from.has_process()) to.process = process(from.process());
  if (from.has_root()) to.root = oci::Root{.path = from.root().path(), .readonly = from.root().readonly()};
  to.hostname = from.hostname();
  for (const auto& mount : from.mounts()) {
    oci::Mount entry;
    entry.destination = mount.destination();
    entry.source = mount.source();
    entry.type = mount.type();
    entry.options = strings(mount.options());
    if (entry.destination.empty()) throw Error(Code::kInvalidArgument, "OCI.Mounts.destination is empty");
    to.mounts.push_back(std::move(entry));
  }
  to.hooks.prestart = hooks(from.hooks().prestart());
  to.hooks.create_runtime = hooks(from.hooks().createruntime());
  to.hooks.create_container = hooks(from.hooks().createcontainer());
  to.hooks.start_container = hooks(from.hooks().startcontainer());
  to.hooks.poststart = hooks(from.hooks().poststart());
  to.hooks.poststop = hooks(from.hooks().poststop());
  to.annotations = {from.annotations().begin(), from.annotations().end()};
  if (from.has_linux()) {
    auto linux_config = linux_from_proto(from.linux());
    if (!linux_config) throw linux_config.error();
    to.linux_config = std::move(*linux_config);
  }
  return to;
}

}  // namespace

std::expected<oci::Process, Error> process_from_proto(const grpc::Process& from) {
  try {
    return process(from);
  } catch (const Error& error) {
    return std::unexpected(error);
  }
}

std::expected<oci::Spec, Error> spec_from_proto(const grpc::Spec& from) {
  try {
    return convert(from);
  } catch (const Error& error) {
    return std::unexpected(error);
  }
}

}  // namespace kata::rpc
