// One process in the guest as the node sees it: its state, its streams, its exit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/agent/agent_client.h"
#include "host/sandbox/log_driver.h"
#include "host/sandbox/stdio.h"
#include "host/sandbox/types.h"
#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/async/mutex.h"
#include "lib/async/task_group.h"

namespace kata::sandbox {

class GuestStream;

// Created → running → stopped. Everything that it runs in the background belongs to its task group, which
// join() ends.
class Process : public std::enable_shared_from_this<Process> {
 public:
  // exec_id is empty for a container's first process.
  Process(const asio::any_io_executor& executor, std::string container_id, std::string exec_id, Stdio stdio);

  // Serialises start and remove of an exec.
  AsyncMutex& mutex() { return mutex_; }

  // Opens the host's ends of the streams; starts the log driver if they name one. An Error names the stream.
  Awaitable<> open_stdio(StdioRules rules);
  // Begins to move bytes between the agent and the host's ends.
  void start_streams(std::shared_ptr<agent::AgentClient> agent);
  // Waits until all output was delivered, then for the exit status. 255 when the agent is lost (B1). Once the
  // process has ended (or, with an agent that cannot tell, was killed), a reader that takes nothing for as
  // long as the drain limit loses the rest; a warning gives the number of bytes.
  Awaitable<ExitInfo> collect();
  // The process was killed: do not wait for a stalled reader for ever.
  void limit_drain();
  // How the process has ended, from the time the agent has told it: delivering its output may take longer.
  [[nodiscard]] const std::optional<ExitInfo>& seen_exit() const { return seen_exit_; }
  // Forwards what the stdin fifo holds now, then closes the process's stdin.
  Awaitable<> close_stdin();
  // Ends the streams and closes the host's ends.
  Awaitable<> close_streams();

  // The terminal's size for a process that does not run yet.
  void keep_size(oci::Box size) { size_ = size; }
  [[nodiscard]] const std::optional<oci::Box>& kept_size() const { return size_; }

  // Records the exit and wakes all waiters.
  void finish(ExitInfo exit);
  void finish(uint32_t status) { finish({.status = status, .at = std::chrono::system_clock::now()}); }
  // The process never started and never will.
  void abandon() { finish(0); }
  Awaitable<ExitInfo> wait();

  [[nodiscard]] ProcessState state() const { return state_; }
  void set_state(ProcessState state) { state_ = state; }
  [[nodiscard]] bool stopped() const { return state_ == ProcessState::kStopped; }
  [[nodiscard]] const ExitInfo& exit() const { return exit_; }
  [[nodiscard]] const Stdio& stdio() const { return stdio_; }
  [[nodiscard]] const std::string& container_id() const { return container_id_; }
  [[nodiscard]] const std::string& exec_id() const { return exec_id_; }
  // "container c1" or "exec e1 of container c1".
  [[nodiscard]] std::string name() const;

 private:
  Awaitable<> pump_output(agent::AgentClient::Stream stream, std::unique_ptr<OutputSink> sink);
  Awaitable<> pump_input(std::unique_ptr<InputSource> source);
  Awaitable<> forward_rest(InputSource& source, GuestStream& guest);
  Awaitable<> deliver(OutputSink* sink, std::string data);
  Awaitable<> write_all(OutputSink* sink, std::string_view* data);
  Awaitable<> watch_exit();
  Awaitable<> wait_for_outputs(Duration limit);
  Awaitable<> drain_over();
  Awaitable<> drop_output();
  void output_ended();

  asio::any_io_executor executor_;
  std::string container_id_;
  std::string exec_id_;
  Stdio stdio_;
  AsyncMutex mutex_;
  ProcessState state_ = ProcessState::kCreated;
  ExitInfo exit_;

  std::unique_ptr<OutputSink> stdout_, stderr_;
  std::shared_ptr<LogDriver> log_driver_;
  std::unique_ptr<InputSource> stdin_;
  std::shared_ptr<agent::AgentClient> agent_;
  Duration drain_limit_{};
  std::optional<oci::Box> size_;
  TaskGroup outputs_;
  TaskGroup inputs_;
  int open_outputs_ = 0;
  // Bytes that the host's ends have taken, and those that were read from the guest and thrown away.
  uint64_t delivered_ = 0;
  uint64_t dropped_ = 0;
  std::optional<ExitInfo> seen_exit_;
  enum class ExitWatch { kNone, kRunning, kUnsupported };
  ExitWatch exit_watch_ = ExitWatch::kNone;
  bool killed_ = false;
  // Nobody reads: output is read and thrown away.
  Event drop_;
  Event outputs_done_;
  Event drain_limited_;
  Event close_stdin_asked_;
  Event stdin_closed_;
  Event exited_;
};

}  // namespace kata::sandbox
