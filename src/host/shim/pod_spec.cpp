#include "host/shim/pod_spec.h"

#include <string>

#include "host/shim/convert.h"
#include "lib/error/error.h"

namespace kata::shim {
namespace {

void add_limits(oci::Spec& spec, const runtime::v1::LinuxContainerResources& limits) {
  const auto add = [&](const char* key, int64_t value) {
    if (value != 0) spec.annotations[std::string("io.kubernetes.cri.sandbox-") + key] = std::to_string(value);
  };
  add("cpu-period", limits.cpu_period());
  add("cpu-quota", limits.cpu_quota());
  add("cpu-shares", limits.cpu_shares());
  add("memory", limits.memory_limit_in_bytes());
}

void add_config(oci::Spec& spec, const runtime::v1::PodSandboxConfig& config) {
  spec.hostname = config.hostname();
  for (const auto& [key, value] : config.annotations()) spec.annotations[key] = value;
  for (const auto& [key, value] : config.linux().sysctls()) spec.linux_config->sysctl[key] = value;
  if (config.linux().has_resources()) add_limits(spec, config.linux().resources());
  spec.annotations["io.kubernetes.cri.sandbox-name"] = config.metadata().name();
  spec.annotations["io.kubernetes.cri.sandbox-namespace"] = config.metadata().namespace_();
  spec.annotations["io.kubernetes.cri.sandbox-uid"] = config.metadata().uid();
  spec.annotations["io.kubernetes.cri.sandbox-log-directory"] = config.log_directory();
}

}  // namespace

runtime::v1::PodSandboxConfig pod_config(
    const containerd::runtime::sandbox::v1::CreateSandboxRequest& request) {
  runtime::v1::PodSandboxConfig config;
  if (bare_type(request.options().type_url()) == "runtime.v1.PodSandboxConfig" &&
      !config.ParseFromString(request.options().value())) {
    throw Error(Code::kInvalidArgument, "the configuration of sandbox " + request.sandbox_id() +
                                            " (runtime.v1.PodSandboxConfig) does not parse");
  }
  return config;
}

oci::Spec pod_spec(const containerd::runtime::sandbox::v1::CreateSandboxRequest& request,
                   const runtime::v1::PodSandboxConfig& config) {
  oci::Spec spec;
  spec.linux_config.emplace();
  add_config(spec, config);
  for (const auto& [key, value] : request.annotations()) spec.annotations[key] = value;
  spec.annotations["io.kubernetes.cri.container-type"] = "sandbox";
  spec.annotations["io.kubernetes.cri.sandbox-id"] = request.sandbox_id();
  if (!request.netns_path().empty())
    spec.linux_config->namespaces.push_back({.type = "network", .path = request.netns_path()});
  return spec;
}

}  // namespace kata::shim
