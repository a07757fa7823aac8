// The guest's ends of a process's streams. A stream begins as calls of the agent, which costs a process that
// says little the least; one that carries much moves to a connection of its own, if the agent has that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "host/agent/agent_client.h"
#include "lib/async/awaitable.h"

namespace kata::sandbox {

// Whose stream it is. A terminal keeps to the calls: its input and output share one descriptor in the guest.
struct StreamOwner {
  std::shared_ptr<agent::AgentClient> agent;
  std::string container_id, exec_id;
  bool terminal = false;
};

// One stream; one call at a time.
class GuestStream {
 public:
  using Kind = agent::AgentClient::Stream;

  GuestStream(StreamOwner owner, Kind kind);

  // Output: some bytes, empty at the end. An error of the agent is thrown.
  Awaitable<std::string> read();
  // Input: returns when the guest has taken all, or when the connection has.
  Awaitable<> write(std::string data);
  // Input: no more will come; returns when the process can have had everything. Terminals stay open.
  Awaitable<> finish();

 private:
  Awaitable<> move_when_much();

  StreamOwner owner_;
  Kind kind_;
  uint64_t carried_ = 0;
  bool tried_ = false;
  std::optional<StreamSocket> direct_;
};

}  // namespace kata::sandbox
