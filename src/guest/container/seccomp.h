// OCI seccomp profiles as kernel programs.
#pragma once

#include "guest/container/plan.h"
#include "lib/oci/spec.h"

namespace kata::container {

// Compiles with libseccomp. System calls that this kernel's architecture does not have are skipped (as runc
// does); unknown actions, operators, flags and architectures are kInvalidArgument naming them; a listener
// (SCMP_ACT_NOTIFY) is kUnimplemented. `no_new_privileges` only decides whether a filter flag is sensible.
SeccompPlan compile_seccomp(const oci::Seccomp& profile);

}  // namespace kata::container
