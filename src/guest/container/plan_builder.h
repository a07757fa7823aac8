// From an OCI spec to the init stage's plan.
#pragma once

#include <map>
#include <string>
#include <sys/types.h>

#include "guest/container/launcher.h"
#include "guest/container/plan.h"
#include "lib/oci/spec.h"

namespace kata::container {

struct PlannedContainer {
  InitPlan plan;
  // CLONE_NEW* for the clone itself.
  uint64_t clone_flags = 0;
  // Path of the pid namespace to be born in; empty = none given.
  std::string pid_namespace;
};

// `cgroup_folders` as Cgroup::folders(). Throws kInvalidArgument naming the field. Looks at nothing but the
// modes of the guest's own device nodes.
PlannedContainer plan_container(const LaunchSpec& launch,
                                const std::map<std::string, std::string>& cgroup_folders);
// `container` is the spec of the container that the process joins: its capabilities and filter are used where
// the process names none.
InitPlan plan_exec(const oci::Spec& container, const oci::Process& process);

// What hooks read: {"ociVersion":..,"id":..,"status":"<status>","pid":..,"bundle":..,"annotations":{..}}
std::string hook_state(const LaunchSpec& launch, std::string_view status, pid_t pid);

}  // namespace kata::container
