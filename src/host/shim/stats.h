// A container's counters as the messages that containerd knows.
//
// The guest's kernel names its memory counters in the way of its cgroup version, and the host's containerd
// expects the way of the host's: names are mapped where the other version has an equal counter, others stay
// zero.
#pragma once

#include "host/sandbox/types.h"

#include "containerd/cgroups_v1.pb.h"
#include "containerd/cgroups_v2.pb.h"
#include "google/protobuf/any.pb.h"

namespace kata::shim {

enum class CgroupVersion { kV1, kV2 };

// By the file system at /sys/fs/cgroup.
CgroupVersion host_cgroup_version();

io::containerd::cgroups::v1::Metrics to_metrics_v1(const sandbox::ContainerStats& stats, uint64_t oom_kills);
io::containerd::cgroups::v2::Metrics to_metrics_v2(const sandbox::ContainerStats& stats, uint64_t oom_kills);
// The message of that version in an Any.
google::protobuf::Any to_metrics(CgroupVersion version, const sandbox::ContainerStats& stats,
                                 uint64_t oom_kills);

}  // namespace kata::shim
