// Between containerd's messages and the sandbox's plain types.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "host/sandbox/types.h"

#include "containerd/task.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace kata::shim {

void set_timestamp(google::protobuf::Timestamp& out, std::chrono::system_clock::time_point at);

// A type URL without "type.googleapis.com/": both forms are in use.
std::string_view bare_type(std::string_view type_url);

sandbox::Stdio to_stdio(const containerd::task::v3::CreateTaskRequest& request);
sandbox::Stdio to_stdio(const containerd::task::v3::ExecProcessRequest& request);
std::vector<rootfs::MountRequest> to_mounts(const containerd::task::v3::CreateTaskRequest& request);
containerd::task::v3::StateResponse to_state(const sandbox::ProcessStatus& status);

// kInvalidArgument unless the Any holds JSON of that OCI type ("Process", "LinuxResources").
oci::Process to_process(const google::protobuf::Any& any);
oci::Resources to_resources(const google::protobuf::Any& any);

}  // namespace kata::shim
