#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "guest/container/init/stage.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

pid_t start_hook(const oci::Hook& hook, int input, int output) {
  const std::vector<std::string> args = hook.args.empty() ? std::vector{hook.path} : hook.args;
  const auto argv = pointers(args);
  const auto env = pointers(hook.env);
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("starting the hook " + hook.path);
  if (pid > 0) return pid;
  if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) ::_exit(126);
  ::execve(hook.path.c_str(), argv.data(), env.data());
  ::dprintf(2, "%s", plain_errno_text(errno).c_str());
  ::_exit(127);
}

// Feeds the state, collects what the hook says (bounded), and waits for its end or the time limit.
class HookWatch {
 public:
  HookWatch(UniqueFd input, UniqueFd output, int64_t timeout)
      : input_(std::move(input)), output_(std::move(output)) {
    if (timeout > 0) deadline_ = Clock::now() + std::chrono::seconds(timeout);
    set_nonblocking(input_.get());
    set_nonblocking(output_.get());
  }

  // False when the time is up.
  bool run(int pidfd, std::string_view state) {
    for (;;) {
      std::array<pollfd, 3> watched = {pollfd{pidfd, POLLIN, 0}, pollfd{output_.get(), POLLIN, 0},
                                       pollfd{input_.get(), POLLOUT, 0}};
      const int ready = ::poll(watched.data(), watched.size(), remaining());
      if (ready == 0) return false;
      if (ready < 0 && errno != EINTR) throw_errno("waiting for a hook");
      if (ready < 0) continue;
      if (watched[2].revents != 0) feed(state);
      if (watched[1].revents != 0) collect();
      if (watched[0].revents != 0) return true;
    }
  }
  // What is in the pipe once the hook has ended.
  std::string output() {
    if (output_) collect();
    return said_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] int remaining() const {
    if (!deadline_) return -1;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
  }
  void feed(std::string_view& state) {
    const ssize_t n = ::write(input_.get(), state.data(), state.size());
    if (n > 0) state.remove_prefix(static_cast<size_t>(n));
    if (state.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) input_.reset();
  }
  void collect() {
    std::array<char, 1024> chunk;
    const ssize_t n = ::read(output_.get(), chunk.data(), chunk.size());
    if (n > 0 && said_.size() < 2048) said_.append(chunk.data(), static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) output_.reset();
  }

  UniqueFd input_, output_;
  std::optional<Clock::time_point> deadline_;
  std::string said_;
};

std::string outcome(int status) {
  if (WIFEXITED(status)) return "exit status " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status));
}

void run_hook(const oci::Hook& hook, const std::string& state) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  const pid_t pid = start_hook(hook, input.read.get(), output.write.get());
  input.read.reset();
  output.write.reset();
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  HookWatch watch(std::move(input.write), std::move(output.read), hook.timeout);
  const bool ended = watch.run(pidfd.get(), state);
  if (!ended) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!ended) throw Error(Code::kDeadlineExceeded, "not done within " + std::to_string(hook.timeout) + " s");
  if (status != 0) throw Error(Code::kInternal, outcome(status) + ", output: " + watch.output());
}

}  // namespace

void run_hooks(const std::vector<oci::Hook>& hooks, std::string_view kind, const std::string& state) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    with_context("running " + std::string(kind) + " hook #" + std::to_string(i) + " " + hooks[i].path,
                 [&] { run_hook(hooks[i], state); });
  }
}

}  // namespace kata::container
