// The OCI spec as it travels to the guest (facts: agent-api, section 3.3).
#pragma once

#include "lib/oci/spec.h"

#include "agent/oci.pb.h"

namespace kata::agent {

void to_message(const oci::Spec& spec, grpc::Spec& message);
void to_message(const oci::Process& process, grpc::Process& message);
void to_message(const oci::Resources& resources, grpc::LinuxResources& message);

// Whether it says something that these messages cannot carry.
bool needs_extras(const oci::Spec& spec);
bool needs_extras(const oci::Process& process);

}  // namespace kata::agent
