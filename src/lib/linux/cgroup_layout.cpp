#include "lib/linux/cgroup_layout.h"

#include <algorithm>
#include <array>
#include <vector>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/text/split.h"

namespace kata::kernel {
namespace {

// Controllers among the words of a v1 mount's super block options ("rw,cpu,cpuacct").
constexpr std::array<std::string_view, 13> kControllers = {
    "blkio",  "cpu",     "cpuacct",  "cpuset",     "devices", "freezer", "hugetlb",
    "memory", "net_cls", "net_prio", "perf_event", "pids",    "rdma"};

bool is_controller(const std::string& word) {
  return std::find(kControllers.begin(), kControllers.end(), word) != kControllers.end();
}

std::string join_checked(const std::vector<std::string>& parts, std::string_view whole) {
  std::string path;
  for (const std::string& part : parts) {
    if (part == "..")
      throw Error(Code::kInvalidArgument,
                  "linux.cgroupsPath \"" + std::string(whole) + "\" leads out of the hierarchy");
    if (part != ".") path += "/" + part;
  }
  return path;
}

// "a-b.slice" lies in "a.slice".
std::string slice_path(std::string_view slice) {
  if (!slice.ends_with(".slice")) return "/" + std::string(slice);
  const std::string_view name = slice.substr(0, slice.size() - 6);
  std::string path;
  for (size_t dash = name.find('-'); dash != std::string_view::npos && name != "-";
       dash = name.find('-', dash + 1))
    path += "/" + std::string(name.substr(0, dash)) + ".slice";
  return path + "/" + std::string(slice);
}

}  // namespace

CgroupLayout CgroupLayout::detect(const std::string& root) {
  const auto mounts = parse_mountinfo(read_file("/proc/self/mountinfo"));
  if (!mounts) throw mounts.error();
  CgroupLayout found;
  for (const MountEntry& mount : *mounts) {
    if (mount.mount_point != root && !mount.mount_point.starts_with(root + "/")) continue;
    if (mount.fstype == "cgroup2" && found.unified.empty()) found.unified = mount.mount_point;
    if (mount.fstype != "cgroup") continue;
    for (const std::string& word : split_words(mount.super_options, ',')) {
      if (is_controller(word)) found.controllers[word] = mount.mount_point;
    }
  }
  if (!found.controllers.empty()) {
    found.version = CgroupVersion::kV1;
    found.unified.clear();
  } else if (found.unified.empty()) {
    throw Error(Code::kFailedPrecondition, "no cgroup hierarchy is mounted at or below " + root);
  }
  return found;
}

std::string cgroup_path(std::string_view cgroups_path, std::string_view id) {
  if (std::count(cgroups_path.begin(), cgroups_path.end(), ':') == 2 && !cgroups_path.starts_with('/')) {
    const size_t first = cgroups_path.find(':');
    const size_t second = cgroups_path.find(':', first + 1);
    const std::string_view slice = cgroups_path.substr(0, first);
    const std::string prefix(cgroups_path.substr(first + 1, second - first - 1));
    const std::string name(cgroups_path.substr(second + 1));
    const std::string scope = (prefix.empty() ? "" : prefix + "-") + name + (prefix.empty() ? "" : ".scope");
    const std::string named = slice.empty() || slice == "-" ? "" : slice_path(slice);
    const std::string folder = join_checked(split_words(named, '/'), cgroups_path);
    const std::string path = join_checked(split_words(folder + "/" + scope, '/'), cgroups_path);
    // Without a name it would be the slice itself, or the root: neither is ours.
    return path == folder ? folder + "/" + std::string(id) : path;
  }
  const std::string path = join_checked(split_words(cgroups_path, '/'), cgroups_path);
  return path.empty() ? "/" + std::string(id) : path;
}

}  // namespace kata::kernel
