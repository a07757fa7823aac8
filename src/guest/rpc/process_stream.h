// One stream of a process on a connection of its own (katacpp.proto, OpenStream).
#pragma once

#include <cstdint>
#include <memory>

#include "guest/boot/listener.h"
#include "guest/container/process.h"
#include "lib/async/task_group.h"

namespace kata::rpc {

enum class StreamKind { kStdout, kStderr, kStdin };

// Listens beside the agent's own address and serves the first connection from the host in `tasks`; returns
// its port. Nothing is taken from the process before somebody has connected. Beside a Unix socket "/x" the
// port stands for the socket "/x_<port>".
uint32_t open_process_stream(std::shared_ptr<container::Process> process, StreamKind kind,
                             const boot::ListenAddress& agent, TaskGroup& tasks);

}  // namespace kata::rpc
