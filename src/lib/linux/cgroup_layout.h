// Where the cgroup hierarchies are mounted, and what an OCI cgroupsPath means in them.
// Sources: cgroups(7), the OCI runtime specification (config-linux), systemd.slice(5).
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace kata::kernel {

enum class CgroupVersion { kV1, kV2 };

// What is mounted where. In a hybrid layout v1 is used for the controllers and the v2 mount is left alone.
struct CgroupLayout {
  CgroupVersion version = CgroupVersion::kV2;
  // Where the v2 hierarchy is mounted; empty in v1.
  std::string unified;
  // v1: controller name to mount point ("memory" → "/sys/fs/cgroup/memory"). Named hierarchies are left out.
  std::map<std::string, std::string> controllers;

  // Looks at the mounts at and below `root`. kFailedPrecondition when there is no cgroup mount at all.
  static CgroupLayout detect(const std::string& root = "/sys/fs/cgroup");
};

// The path below the hierarchy that an OCI cgroupsPath names: "/a/b" as it is, "slice:prefix:name" (systemd's
// form) as nested folders, empty = "/<id>". kInvalidArgument for "..".
std::string cgroup_path(std::string_view cgroups_path, std::string_view id);

}  // namespace kata::kernel
