// grpc.Spec and its parts to the plain OCI types, by the rules of agent-api, section 3.3: proto3 has no
// presence, so 0 is "absent" where the contract says so. A text that names nothing (namespace, capability,
// seccomp action ...) is kInvalidArgument naming the field.
#pragma once

#include <expected>

#include "lib/error/error.h"
#include "lib/oci/spec.h"

#include "agent/oci.pb.h"

namespace kata::rpc {

std::expected<oci::Spec, Error> spec_from_proto(const grpc::Spec& from);
std::expected<oci::Process, Error> process_from_proto(const grpc::Process& from);
std::expected<oci::Resources, Error> resources_from_proto(const grpc::LinuxResources& from);
std::expected<oci::Linux, Error> linux_from_proto(const grpc::Linux& from);

}  // namespace kata::rpc
