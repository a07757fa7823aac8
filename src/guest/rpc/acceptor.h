// Accepts ttRPC connections on the agent's listening socket.
#pragma once

#include <memory>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "guest/boot/listener.h"
#include "lib/async/awaitable.h"
#include "lib/async/task_group.h"
#include "lib/fd/unique_fd.h"
#include "lib/ttrpc/server.h"

namespace kata::rpc {

class Acceptor {
 public:
  Acceptor(const asio::any_io_executor& executor, UniqueFd listener, boot::ListenAddress address,
           std::shared_ptr<ttrpc::Server> server);

  // Accepts until cancelled. Connections run in `tasks`. A Unix socket takes peers of its own user only.
  Awaitable<> run(TaskGroup& tasks);

 private:
  // -1 when there is nothing to accept now.
  int accept_one();

  asio::posix::stream_descriptor listener_;
  boot::ListenAddress address_;
  std::shared_ptr<ttrpc::Server> server_;
};

}  // namespace kata::rpc
