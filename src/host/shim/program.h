// The shim as a program: flags to action, errors to stderr and exit code.
#pragma once

#include "host/shim/backend.h"

namespace kata::shim {

// `argv` as main() gets it. Returns the exit code.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace kata::shim
