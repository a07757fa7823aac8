#include "host/sandbox/guest_spec.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace kata::sandbox {
namespace {

bool is_vfio_node(const oci::Device& device) {
  return device.type == "c" && device.path.starts_with("/dev/vfio/");
}

void edit_namespaces(oci::Linux& config) {
  // The guest has one pod: these namespaces are the guest's own business or the VM itself.
  std::erase_if(config.namespaces, [](const oci::Namespace& entry) {
    return entry.type == "pid" || entry.type == "network" || entry.type == "time";
  });
  for (oci::Namespace& entry : config.namespaces) entry.path.clear();
}

void edit_resources(oci::Linux& config) {
  if (!config.resources) return;
  config.resources = guest_resources(*std::move(config.resources));
  config.resources->devices.clear();
  config.resources->block_io.reset();
  config.resources->network.reset();
}

}  // namespace

oci::Resources guest_resources(oci::Resources resources) {
  if (resources.cpu) {
    resources.cpu->cpus.clear();
    resources.cpu->mems.clear();
  }
  return resources;
}

bool shares_sandbox_pids(const oci::Spec& spec) {
  if (!spec.linux_config) return false;
  return std::ranges::any_of(spec.linux_config->namespaces, [](const oci::Namespace& entry) {
    return entry.type == "pid" && !entry.path.empty();
  });
}

agent::KernelModule parse_kernel_module(const std::string& entry) {
  agent::KernelModule module;
  size_t begin = 0;
  while ((begin = entry.find_first_not_of(' ', begin)) != std::string::npos) {
    const size_t end = std::min(entry.find(' ', begin), entry.size());
    std::string word = entry.substr(begin, end - begin);
    if (module.name.empty()) {
      module.name = std::move(word);
    } else {
      module.parameters.push_back(std::move(word));
    }
    begin = end;
  }
  return module;
}

oci::Spec guest_spec(oci::Spec spec, const GuestSpecRules& rules) {
  // Hooks of the host were run on the host; only the one that runs inside the container travels.
  oci::Hooks hooks;
  hooks.start_container = std::move(spec.hooks.start_container);
  spec.hooks = std::move(hooks);

  if (spec.linux_config) {
    oci::Linux& config = *spec.linux_config;
    edit_namespaces(config);
    edit_resources(config);
    if (rules.disable_guest_seccomp) config.seccomp.reset();
    if (rules.disable_guest_selinux) config.mount_label.clear();
    if (!rules.keep_vfio_devices) std::erase_if(config.devices, is_vfio_node);
  }
  if (spec.process && rules.disable_guest_selinux) spec.process->selinux_label.clear();

  std::erase_if(spec.annotations, [](const auto& entry) {
    return entry.first == "io.katacontainers.config.hypervisor.cc_init_data" ||
           entry.first == "io.katacontainers.config.runtime.cc_init_data";
  });
  spec.annotations["io.katacontainers.pkg.oci.bundle_path"] = rules.bundle;
  spec.annotations["io.katacontainers.pkg.oci.container_type"] = rules.container_type;
  if (!spec.root) spec.root.emplace();
  spec.root->path = rules.guest_rootfs;
  return spec;
}

oci::Process guest_exec_process(oci::Process process, const GuestSpecRules& rules) {
  process.apparmor_profile.clear();
  if (rules.disable_guest_selinux) process.selinux_label.clear();
  return process;
}

}  // namespace kata::sandbox
