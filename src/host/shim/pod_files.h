// The files of a pod that a pause container's manager would have made: with the Sandbox API they are the
// shim's business.
#pragma once

#include <string>

#include "lib/oci/spec.h"

#include "containerd/cri.pb.h"

namespace kata::shim {

// Writes hostname, hosts and resolv.conf into `folder` (the sandbox's bundle, which containerd removes). What
// the configuration leaves open is the node's own.
void write_pod_files(const std::string& folder, const runtime::v1::PodSandboxConfig& config);

// Mounts them, and the pod's shared memory, where the container's spec has nothing of its own.
void add_pod_files(oci::Spec& spec, const std::string& folder);

}  // namespace kata::shim
