// What an error of the agent means for a process (behaviours B1, B2, B4).
#pragma once

#include <string>

#include "lib/error/error.h"

namespace kata::sandbox {

// The process is not there any more: NOT_FOUND, ESRCH, or one of the texts that agents use. Only for results
// of the signal call.
bool is_gone(const Error& error);
// The way to the agent is lost: nothing can be said about the process, and nothing more will come.
bool is_connection_closed(const Error& error);

}  // namespace kata::sandbox
