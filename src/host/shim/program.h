// The shim as a program: flags to action, errors to stderr and exit code.
#pragma once

#include "host/shim/delete.h"
#include "host/shim/pod.h"

namespace kata::shim {

// What stands behind the shim; tests put fakes here.
struct Backend {
  SandboxFactory make_sandbox;
  ConfigLoader load_config;
  CleanUp clean_up;
};

// `argv` as main() gets it. Returns the exit code.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace kata::shim
