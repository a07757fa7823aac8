#include "host/resource/cgroup/cgroup_plan.h"

#include <algorithm>
#include <set>

namespace kata::node_cgroup {
namespace {

bool is_systemd_form(std::string_view path) {
  return !path.starts_with('/') && std::count(path.begin(), path.end(), ':') == 2;
}

void add_with_parents(const std::string& mount, const std::string& path, std::vector<std::string>& folders) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string folder = mount + path.substr(0, slash);
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(std::move(folder));
    if (slash == std::string::npos) return;
  }
}

}  // namespace

CgroupPlan plan_cgroups(std::string_view cgroups_path, const std::string& sandbox_id, Placement placement) {
  CgroupPlan plan;
  plan.sandbox = cgroups_path.empty() ? "/kata_sandboxed_pod/" + sandbox_id
                                      : kernel::cgroup_path(cgroups_path, sandbox_id);
  if (placement == Placement::kOverhead) {
    plan.overhead = is_systemd_form(cgroups_path)
                        ? kernel::cgroup_path("kata-overhead.slice:runtime-rs:" + sandbox_id, sandbox_id)
                        : "/kata_overhead/" + sandbox_id;
  }
  return plan;
}

std::vector<std::string> folders_of(const CgroupPlan& plan, const kernel::CgroupLayout& layout) {
  std::vector<std::string> folders;
  std::set<std::string> mounts;
  if (layout.version == kernel::CgroupVersion::kV2) {
    mounts.insert(layout.unified);
  } else {
    // Some hierarchies carry two controllers (cpu,cpuacct).
    for (const auto& [controller, mount] : layout.controllers) mounts.insert(mount);
  }
  for (const std::string& mount : mounts) {
    add_with_parents(mount, plan.sandbox, folders);
    if (plan.overhead.empty()) continue;
    add_with_parents(mount, plan.overhead, folders);
    if (layout.version == kernel::CgroupVersion::kV2)
      add_with_parents(mount, plan.sandbox + std::string(kVcpuFolder), folders);
  }
  return folders;
}

}  // namespace kata::node_cgroup
