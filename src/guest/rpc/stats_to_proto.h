// Figures of a cgroup as StatsContainer answers them.
#pragma once

#include "agent/agent.pb.h"
#include "guest/cgroup/stats.h"

namespace kata::rpc {

void stats_to_proto(const cgroup::Stats& from, grpc::CgroupStats& to);

}  // namespace kata::rpc
