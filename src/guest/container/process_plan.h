// The process part of a spec, checked and turned into numbers.
#pragma once

#include "guest/container/plan.h"
#include "lib/oci/spec.h"

namespace kata::container {

// `config` gives the filter and the personality of the container. kInvalidArgument names the field.
ProcessPlan plan_process(const oci::Process& process, const oci::Linux& config);
CapabilityPlan plan_capabilities(const oci::Capabilities& capabilities);

}  // namespace kata::container
