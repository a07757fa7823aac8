// Child processes held by pidfd: started, watched, stopped, waited for exactly once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/fd/unique_fd.h"

namespace kata {

struct ExitStatus {
  // Exit code, or 128 + signal number.
  int code = 0;
  // 0 if the process ended by itself.
  int signal = 0;
  // "exit code 3" or "signal 9 (Killed)".
  [[nodiscard]] std::string text() const;
};

// What to run. Descriptors not named here are closed in the child (they are close-on-exec from birth).
struct Command {
  // argv[0] is the program: an absolute path, or a name that is looked for in PATH.
  std::vector<std::string> argv;
  // Path of the program if argv[0] is only what it is to be called.
  std::string program;
  // The whole environment ("K=V"); none = the parent's.
  std::optional<std::vector<std::string>> env;
  std::string working_directory;
  // Descriptors for 0, 1, 2; -1 = /dev/null. They stay the caller's.
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  // Descriptors for 3, 4, 5, ... in this order; they stay the caller's.
  std::vector<int> from_three;
  // Further descriptors that the child inherits under the same number. Not together with from_three.
  std::vector<int> inherit;
  enum class Session { kParents, kOwn };
  Session session = Session::kParents;
  // Whether the child is killed when its parent thread ends (PR_SET_PDEATHSIG).
  enum class ParentDeath { kIgnore, kKill };
  ParentDeath parent_death = ParentDeath::kIgnore;
  // What a child that is root may still do while it takes on other user ids (capabilities(7),
  // SECBIT_NO_SETUID_FIXUP). kKept is tried: without the right to it the child runs as usual.
  enum class RightsOfOthers { kUsual, kKept };
  RightsOfOthers rights_of_others = RightsOfOthers::kUsual;
  // cgroup.procs or tasks files that the child writes itself into before it runs the program.
  std::vector<std::string> join_cgroups;
};

class ChildProcess : public std::enable_shared_from_this<ChildProcess> {
 public:
  // Returns after the exec succeeded; a failing set-up or exec throws with its reason ("running /x/qemu: No
  // such file or directory").
  static std::shared_ptr<ChildProcess> start(const asio::any_io_executor& executor, const Command& command);
  // Runs `body` in a forked child with this process's memory: for calls that can hang in the kernel or need
  // other namespaces. The child exits when body returns; an Error that leaves it is thrown by run_in_child
  // below.
  static std::shared_ptr<ChildProcess> fork_and_run(const asio::any_io_executor& executor,
                                                    const std::function<void()>& body, int report_fd);

  // Takes over a child that was started by other means and that nobody else waits for; kills it on failure.
  static std::shared_ptr<ChildProcess> adopt(const asio::any_io_executor& executor, pid_t pid);

  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Set once the process has ended and was reaped.
  [[nodiscard]] const std::optional<ExitStatus>& status() const { return status_; }
  // Waits for the end; any number of callers. The status stays known afterwards.
  Awaitable<ExitStatus> wait();
  // Sends a signal if the process still runs (by pidfd: never to a reused pid). Returns false when it is
  // gone.
  bool signal(int number) const;
  // SIGTERM, then SIGKILL after `grace`. Returns the status. Does nothing to a process that has ended.
  Awaitable<ExitStatus> stop(Duration grace);

 private:
  ChildProcess(const asio::any_io_executor& executor, pid_t pid, UniqueFd pidfd);
  void watch();
  void reap();

  pid_t pid_;
  asio::posix::stream_descriptor pidfd_;
  Event ended_;
  std::optional<ExitStatus> status_;
};

// Runs `body` in a short-lived child process for at most `limit`; then the child is killed and
// kDeadlineExceeded thrown. An exception of the body arrives here as the same Error (code, message). `what`
// names the work in messages.
Awaitable<> run_in_child(std::function<void()> body, Duration limit, std::string what);

}  // namespace kata
