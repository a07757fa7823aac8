// The agent's side of an init stage: start it, answer it, learn how it ends.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "guest/container/control.h"
#include "guest/container/plan.h"
#include "guest/container/process.h"
#include "guest/container/spawn.h"
#include "lib/async/awaitable.h"

namespace kata::container {

class StageClient {
 public:
  // What the stage may ask for while it builds.
  struct Answers {
    std::function<void(pid_t)> map_user;
    std::function<Awaitable<>(pid_t)> run_hooks;
  };

  // `owner` is the user (of the agent) that the pipes are given to, so that the program may open them again.
  // `spawn` comes with namespaces and cgroup filled in; streams are made here: pipes of `pipe_size` bytes (0
  // = default), or a terminal that the stage opens.
  static std::unique_ptr<StageClient> start(const asio::any_io_executor& executor, Role role,
                                            const InitPlan& plan, SpawnRequest spawn, size_t pipe_size,
                                            uint32_t owner);

  [[nodiscard]] const std::shared_ptr<Process>& process() const { return process_; }

  // Serves the stage until it reports ready. Throws the Error that the stage met; the process is dead then.
  Awaitable<> until_ready(Answers answers);
  // Serves it until the user's program runs. Tells a waiting stage to go on first if `kStart` is asked for.
  enum class Begin { kStart, kAlreadyStarted };
  Awaitable<> until_running(Begin begin);

 private:
  StageClient(const asio::any_io_executor& executor, UniqueFd socket, std::shared_ptr<Process> process);
  // The next packet; nothing once the stage has closed the socket.
  Awaitable<std::optional<Packet>> receive();
  // Warnings and the console; false when the packet is none of these.
  bool take(Packet& packet);
  [[noreturn]] static void refuse(const Packet& packet);

  asio::posix::stream_descriptor socket_;
  std::shared_ptr<Process> process_;
};

}  // namespace kata::container
