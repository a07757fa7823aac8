// The debug console: a shell on a terminal for each connection, or on the machine's console. Only for guests
// whose configuration asks for it: who reaches it is root in the guest.
#pragma once

#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"
#include "lib/fd/unique_fd.h"

namespace kata::channels {

// The shells that are looked for, in this order (agent-api, section 7).
std::vector<std::string> console_shells();
// The first of them that can be run; kNotFound naming all when there is none.
std::string find_shell(const std::vector<std::string>& shells);

// Accepts until cancelled. Each connection has a pty and a shell of its own, which ends (hang-up, then kill)
// with its connection; the connection ends with the shell. A few at once; more are closed unserved.
Awaitable<> serve_console(UniqueFd listener, std::vector<std::string> shells, TaskGroup& tasks);

// Runs a shell on the terminal `path`, again and again until cancelled.
Awaitable<> console_on_terminal(std::string path, std::vector<std::string> shells);

}  // namespace kata::channels
