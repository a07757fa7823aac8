// A running process of a container and its standard streams.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/fd/unique_fd.h"

namespace kata::container {

// Ends of the streams that the agent keeps. With a terminal `stdin_fd` is the pty's master and the others are
// empty.
struct Streams {
  UniqueFd stdin_fd, stdout_fd, stderr_fd;
};

enum class Role { kInit, kExec };

// One thread; every call returns at once or is awaited. Nothing is buffered beyond the chunk that is being
// read.
class Process : public std::enable_shared_from_this<Process> {
 public:
  // Takes a child of this process that was started with `pidfd`. The pid is owned (owns_pid) until it is
  // reaped.
  static std::shared_ptr<Process> adopt(const asio::any_io_executor& executor, Role role, pid_t pid,
                                        UniqueFd pidfd);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void set_streams(Streams streams, bool terminal);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool terminal() const { return terminal_; }
  // 0..255, or 128 + signal; empty while it runs.
  [[nodiscard]] std::optional<int> exit_code() const { return exit_code_; }
  // When it ended; valid with an exit code.
  struct EndTime {
    std::chrono::system_clock::time_point wall;
    std::chrono::steady_clock::time_point steady;
  };
  [[nodiscard]] const EndTime& end_time() const { return end_time_; }

  // Waits for the end; any number of callers, all get the code.
  Awaitable<int> wait();
  // Any signal number that kill(2) takes, 0 included. An ended process is success (agent API: ESRCH is no
  // error). SIGTERM to an init that neither handles, blocks nor ignores it becomes SIGKILL, because pid 1 of
  // a namespace would not see it. kInvalidArgument for a number out of range.
  void signal(int number);

  // Writes all of `data` (it must live until then); returns its size. Empty data closes. kFailedPrecondition
  // after close, kUnavailable "... closed its standard input" when nobody reads any more.
  Awaitable<size_t> write_stdin(std::string_view data);
  void close_stdin();
  // Up to `length` bytes after one read, as soon as there are any; empty = end of stream. What is in the pipe
  // when the process ends stays there until it is read, however late. Descendants that hold it open are
  // waited for only 500 ms: what they write later is not read. With a terminal both read the master.
  // In front of the bytes, `headroom` bytes are left for the caller to fill; an empty string has none.
  Awaitable<std::string> read_stdout(size_t length, size_t headroom = 0);
  Awaitable<std::string> read_stderr(size_t length, size_t headroom = 0);
  // kUnavailable without a terminal.
  void resize(uint16_t rows, uint16_t columns);
  // Closes all streams; readers and writers that wait get end of stream or an error.
  void close_streams();

 private:
  Process(const asio::any_io_executor& executor, Role role, pid_t pid, UniqueFd pidfd);
  void watch();
  void reap();
  using Stream = asio::posix::stream_descriptor;
  struct Output {
    Output(const asio::any_io_executor& executor, int fd) : stream(executor, fd) {}
    Stream stream;
    // Once set: what may still be read.
    std::optional<size_t> left;
  };
  using OutputPtr = std::shared_ptr<Output>;
  Awaitable<std::string> read_stream(OutputPtr output, size_t length, size_t headroom);
  void limit_drain();

  Role role_;
  pid_t pid_;
  bool terminal_ = false;
  Stream pidfd_;
  Event ended_;
  std::optional<int> exit_code_;
  EndTime end_time_;
  asio::steady_timer drain_timer_;
  OutputPtr stdin_, stdout_, stderr_;
};

// Whether `pid` is a child that a Process of this program will reap: a pid 1 that collects orphans must leave
// it alone.
bool owns_pid(pid_t pid);

}  // namespace kata::container
