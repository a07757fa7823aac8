#include "lib/async/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata {
namespace {

// Everything the child needs, prepared before fork so that the child allocates nothing.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> env;
  const Command* command;
  int null_fd;
  // Room for the copies of from_three.
  mutable std::array<int, 8> moved;
};

// Above every descriptor that place_descriptors() overwrites.
constexpr int kOutOfTheWay = 64;

struct Failure {
  int error;
  int step;
};

constexpr std::array<const char*, 5> kSteps = {"setting up the descriptors of", "changing directory for",
                                               "joining the cgroup of", "setting the session of", "running"};

void fail(int report_fd, int step) {
  const Failure failure{errno, step};
  [[maybe_unused]] const ssize_t n = ::write(report_fd, &failure, sizeof failure);
  ::_exit(127);
}

void reset_signals() {
  for (int number = 1; number < 32; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void place_descriptors(const Prepared& prepared, int report_fd) {
  const Command& command = *prepared.command;
  // Asio opens and accepts its sockets without close-on-exec. A child that holds one keeps the connection
  // open after this process is gone, and the peer waits for ever.
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) fail(report_fd, 0);
  std::array<int, 3> wanted = {command.stdin_fd, command.stdout_fd, command.stderr_fd};
  for (int& fd : wanted) {
    if (fd < 0) fd = prepared.null_fd;
    // Out of the way of 0..2, which are overwritten one after the other.
    if (fd <= 2) fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) fail(report_fd, 0);
  }
  for (int target = 0; target < 3; ++target) {
    if (::dup2(wanted[static_cast<size_t>(target)], target) < 0) fail(report_fd, 0);
  }
  const auto count = static_cast<int>(command.from_three.size());
  for (int i = 0; i < count; ++i) {
    // All are out of the way before the first one is placed.
    prepared.moved.at(static_cast<size_t>(i)) =
        ::fcntl(command.from_three[static_cast<size_t>(i)], F_DUPFD_CLOEXEC, kOutOfTheWay);
    if (prepared.moved.at(static_cast<size_t>(i)) < 0) fail(report_fd, 0);
  }
  for (int i = 0; i < count; ++i) {
    if (::dup2(prepared.moved.at(static_cast<size_t>(i)), 3 + i) < 0) fail(report_fd, 0);
  }
  for (const int fd : command.inherit) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || ::fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) != 0) fail(report_fd, 0);
  }
}

[[noreturn]] void child_main(const Prepared& prepared, int report_fd, pid_t parent) {
  const Command& command = *prepared.command;
  reset_signals();
  report_fd = ::fcntl(report_fd, F_DUPFD_CLOEXEC, kOutOfTheWay);
  place_descriptors(prepared, report_fd);
  if (!command.working_directory.empty() && ::chdir(command.working_directory.c_str()) != 0)
    fail(report_fd, 1);
  for (const std::string& path : command.join_cgroups) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, "0", 1) != 1) fail(report_fd, 2);
    ::close(fd);
  }
  if (command.session == Command::Session::kOwn && ::setsid() < 0) fail(report_fd, 3);
  if (command.parent_death == Command::ParentDeath::kKill) {
    // The parent may have gone between fork and prctl: then nobody would send the signal.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) fail(report_fd, 3);
  }
  if (command.rights_of_others == Command::RightsOfOthers::kKept)
    ::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
  if (!command.program.empty()) {
    ::execve(command.program.c_str(), prepared.argv.data(), prepared.env.data());
    fail(report_fd, 4);
  }
  ::execvpe(prepared.argv[0], prepared.argv.data(), prepared.env.data());
  fail(report_fd, 4);
  ::_exit(127);
}

Prepared prepare(const Command& command, int null_fd) {
  if (command.argv.empty()) throw Error(Code::kInvalidArgument, "running a program: empty command line");
  Prepared prepared{.argv = {}, .env = {}, .command = &command, .null_fd = null_fd, .moved = {}};
  if (command.from_three.size() > prepared.moved.size())
    throw Error(Code::kInvalidArgument, "too many descriptors for a child");
  for (const std::string& arg : command.argv) prepared.argv.push_back(const_cast<char*>(arg.c_str()));
  prepared.argv.push_back(nullptr);
  if (command.env) {
    for (const std::string& entry : *command.env) prepared.env.push_back(const_cast<char*>(entry.c_str()));
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) prepared.env.push_back(*entry);
  }
  prepared.env.push_back(nullptr);
  return prepared;
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// "code errno message" over the report pipe of run_in_child.
std::string encode(const Error& error) {
  return std::to_string(static_cast<int>(error.code())) + " " + error.message().substr(0, 4000);
}

}  // namespace

std::string ExitStatus::text() const {
  if (signal == 0) return "exit code " + std::to_string(code);
  const char* name = ::strsignal(signal);
  return "signal " + std::to_string(signal) + " (" + (name != nullptr ? name : "unknown") + ")";
}

ChildProcess::ChildProcess(const asio::any_io_executor& executor, pid_t pid, UniqueFd pidfd)
    : pid_(pid), pidfd_(executor, pidfd.release()), ended_(executor) {}

ChildProcess::~ChildProcess() {
  // Owners wait first; a child that outlives its object on purpose is reaped by whoever inherits it.
  if (!status_) ::waitpid(pid_, nullptr, WNOHANG);
}

std::shared_ptr<ChildProcess> ChildProcess::adopt(const asio::any_io_executor& executor, pid_t pid) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const Error error = Error::from_errno(errno, "opening a pidfd of process " + std::to_string(pid));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw error;
  }
  std::shared_ptr<ChildProcess> child(new ChildProcess(executor, pid, std::move(pidfd)));
  child->watch();
  return child;
}

std::shared_ptr<ChildProcess> ChildProcess::start(const asio::any_io_executor& executor,
                                                  const Command& command) {
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  const Prepared prepared = prepare(command, null.get());
  const std::string& program = command.program.empty() ? command.argv[0] : command.program;
  auto [report_read, report_write] = make_pipe();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("starting " + program);
  if (pid == 0) child_main(prepared, report_write.get(), parent);
  report_write.reset();
  Failure failure{};
  ssize_t n = 0;
  do {
    n = ::read(report_read.get(), &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof failure)) {
    ::waitpid(pid, nullptr, 0);
    const auto step = static_cast<size_t>(std::clamp(failure.step, 0, static_cast<int>(kSteps.size()) - 1));
    throw Error::from_errno(failure.error, std::string(kSteps[step]) + " " + program);
  }
  return adopt(executor, pid);
}

std::shared_ptr<ChildProcess> ChildProcess::fork_and_run(const asio::any_io_executor& executor,
                                                         const std::function<void()>& body, int report_fd) {
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("starting a child process");
  if (pid == 0) {
    int code = 0;
    try {
      body();
    } catch (...) {
      const std::string text = encode(to_error(std::current_exception()));
      [[maybe_unused]] const ssize_t n = ::write(report_fd, text.data(), text.size());
      code = 1;
    }
    ::_exit(code);
  }
  return adopt(executor, pid);
}

void ChildProcess::watch() {
  pidfd_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = weak_from_this()](const boost::system::error_code& error) {
                      if (const auto child = self.lock(); child && !error) child->reap();
                    });
}

void ChildProcess::reap() {
  siginfo_t info{};
  const auto pidfd = static_cast<id_t>(pidfd_.native_handle());
  if (::waitid(static_cast<idtype_t>(P_PIDFD), pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
    // The reactor can wake a fresh descriptor for an event of an older one with the same number.
    watch();
    return;
  }
  if (info.si_pid == 0) {
    // Reaped elsewhere: the end is certain, the status is lost.
    status_ = ExitStatus{.code = 255, .signal = 0};
  } else if (info.si_code == CLD_EXITED) {
    status_ = ExitStatus{.code = info.si_status, .signal = 0};
  } else {
    status_ = ExitStatus{.code = 128 + info.si_status, .signal = info.si_status};
  }
  ended_.set();
}

Awaitable<ExitStatus> ChildProcess::wait() {
  const auto self = shared_from_this();
  co_await ended_.wait();
  co_return *status_;
}

bool ChildProcess::signal(int number) const {
  if (status_) return false;
  auto& descriptor = const_cast<asio::posix::stream_descriptor&>(pidfd_);
  return ::syscall(SYS_pidfd_send_signal, descriptor.native_handle(), number, nullptr, 0) == 0;
}

Awaitable<ExitStatus> ChildProcess::stop(Duration grace) {
  const auto self = shared_from_this();
  if (signal(SIGTERM)) {
    bool late = false;
    try {
      co_await with_deadline(wait(), grace, "stopping process " + std::to_string(pid_));
    } catch (const Error&) {
      late = true;
    }
    if (late) signal(SIGKILL);
  }
  co_return co_await wait();
}

Awaitable<> run_in_child(std::function<void()> body, Duration limit, std::string what) {
  const auto executor = co_await asio::this_coro::executor;
  auto [report_read, report_write] = make_pipe();
  const auto child = ChildProcess::fork_and_run(executor, body, report_write.get());
  report_write.reset();
  std::exception_ptr failure;
  ExitStatus status;
  try {
    status = co_await with_deadline(child->wait(), limit, what);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    // A child stuck in the kernel ends when its call returns; the kill is pending until then and init reaps
    // it.
    child->signal(SIGKILL);
    std::rethrow_exception(failure);
  }
  if (status.code == 0) co_return;
  const std::string report = read_all(report_read.get(), 8192, "the report of a child process");
  const size_t space = report.find(' ');
  if (space == std::string::npos)
    throw Error(Code::kInternal, what + ": child process ended with " + status.text());
  throw Error(static_cast<Code>(std::atoi(report.c_str())), report.substr(space + 1)).within(what);
}

}  // namespace kata
