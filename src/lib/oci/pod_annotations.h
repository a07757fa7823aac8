// Annotations of our own that travel with a container's spec from the node to the guest.
#pragma once

namespace kata::oci {

// Id of the container whose pid namespace this one joins, instead of the one that the pod shares.
inline constexpr const char* kPidTarget = "io.katacontainers.katacpp.pid_target";

}  // namespace kata::oci
