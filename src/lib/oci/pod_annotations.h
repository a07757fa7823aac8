// Annotations that travel with a container's spec from the node to the guest.
#pragma once

namespace kata::oci {

// Of our own: id of the container whose pid namespace this one joins, instead of the one that the pod shares.
inline constexpr const char* kPidTarget = "io.katacontainers.katacpp.pid_target";

// Kubernetes': the place in the container of the file that it writes its last words to, and the usual one.
inline constexpr const char* kTerminationPath = "io.kubernetes.container.terminationMessagePath";
inline constexpr const char* kTerminationPlace = "/dev/termination-log";

}  // namespace kata::oci
