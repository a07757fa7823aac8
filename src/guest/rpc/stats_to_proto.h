// Figures of a cgroup as StatsContainer answers them.
#pragma once

#include "guest/cgroup/stats.h"

#include "agent/agent.pb.h"

namespace kata::rpc {

void stats_to_proto(const cgroup::Stats& from, grpc::CgroupStats& to);

}  // namespace kata::rpc
