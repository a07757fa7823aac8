#include "host/resource/volume/bind_volumes.h"

#include <gtest/gtest.h>

namespace kata::volume {
namespace {

TEST(BindVolumesTest, WhatAMountMeansToTheNode) {
  struct Row {
    const char* name;
    oci::Mount mount;
    MountKind kind;
  };
  const auto mount = [](const char* destination, const char* source, const char* type,
                        std::vector<std::string> options) {
    oci::Mount result;
    result.destination = destination;
    result.source = source;
    result.type = type;
    result.options = std::move(options);
    return result;
  };
  const Row rows[] = {
      {"proc", mount("/proc", "proc", "proc", {}), MountKind::kGuestOnly},
      {"tmpfs on shm", mount("/dev/shm", "shm", "tmpfs", {"size=65536k"}), MountKind::kGuestOnly},
      {"bind type", mount("/data", "/srv/data", "bind", {}), MountKind::kHostBind},
      {"bind option", mount("/data", "/srv/data", "none", {"rbind", "ro"}), MountKind::kHostBind},
      {"pod shm", mount("/dev/shm", "/run/x/shm", "bind", {"rbind"}), MountKind::kSandboxShm},
      {"host proc", mount("/host/proc", "/proc", "bind", {"rbind"}), MountKind::kHostSystem},
      {"device", mount("/dev/termination-log", "/dev/kmsg", "bind", {"bind"}), MountKind::kHostSystem},
      {"name that only begins so", mount("/x", "/device-data", "bind", {}), MountKind::kHostBind},
  };
  for (const Row& row : rows) EXPECT_EQ(classify(row.mount), row.kind) << row.name;
}

}  // namespace
}  // namespace kata::volume
