// File system figures of a volume.
#pragma once

#include <string>

#include "lib/async/awaitable.h"

#include "agent/csi.pb.h"

namespace kata::rpc {

// statfs(2) in a child process: the file system may hang.
Awaitable<grpc::VolumeStatsResponse> volume_stats(std::string path);

}  // namespace kata::rpc
