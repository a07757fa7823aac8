// What the Sandbox API says of a pod, in the words that a pause container's spec would use.
#pragma once

#include "lib/oci/spec.h"

#include "containerd/cri.pb.h"
#include "containerd/sandbox.pb.h"

namespace kata::shim {

// The pod's configuration in the request; empty when the options are of another type. kInvalidArgument when
// it does not parse.
runtime::v1::PodSandboxConfig pod_config(
    const containerd::runtime::sandbox::v1::CreateSandboxRequest& request);

// Annotations (the request's win over the pod's own), host name, sysctls, network namespace, and the pod's
// limits as the annotations that containerd gives a pause container.
oci::Spec pod_spec(const containerd::runtime::sandbox::v1::CreateSandboxRequest& request,
                   const runtime::v1::PodSandboxConfig& config);

}  // namespace kata::shim
