#include "guest/container/process.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <set>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <poll.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

// How long the descendants of an ended process, which hold its pipes open, can still write.
constexpr auto kDrainLimit = std::chrono::milliseconds(500);
// How long the destructor waits for a process it has killed.
constexpr int kDropLimitMs = 1000;
constexpr size_t kMaxChunk = size_t{1} << 20;

std::set<pid_t>& owned_pids() {
  static std::set<pid_t> pids;
  return pids;
}

// Whether the process has a handler for `number`, blocks or ignores it: the masks of /proc/<pid>/status.
bool reacts_to(pid_t pid, int number) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status", size_t{64} << 10);
  uint64_t masks = 0;
  for (const std::string_view key : {"\nSigBlk:\t", "\nSigIgn:\t", "\nSigCgt:\t"}) {
    const size_t start = status.find(key);
    if (start == std::string::npos) continue;
    uint64_t mask = 0;
    const char* text = status.data() + start + key.size();
    std::from_chars(text, status.data() + status.size(), mask, 16);
    masks |= mask;
  }
  return (masks & (uint64_t{1} << (number - 1))) != 0;
}

// Nobody has the other end any more: the stream ends by itself once it has been read.
bool writers_gone(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLHUP) != 0;
}

}  // namespace

bool owns_pid(pid_t pid) {
  return owned_pids().contains(pid);
}

Process::Process(const asio::any_io_executor& executor, Role role, pid_t pid, UniqueFd pidfd)
    : role_(role), pid_(pid), pidfd_(executor, pidfd.release()), ended_(executor), drain_timer_(executor) {
  owned_pids().insert(pid);
  // A write into a pipe that nobody reads is an answer of write(2), not the end of the agent.
  static const auto ignored = ::signal(SIGPIPE, SIG_IGN);
  static_cast<void>(ignored);
}

Process::~Process() {
  if (exit_code_) return;
  // Nobody waits for it any more: it must not stay behind. One that is stuck in the kernel is left to the
  // reaper of orphans.
  const int pidfd = pidfd_.native_handle();
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  pollfd watched{.fd = pidfd, .events = POLLIN, .revents = 0};
  ::poll(&watched, 1, kDropLimitMs);
  siginfo_t info{};
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
  owned_pids().erase(pid_);
}

std::shared_ptr<Process> Process::adopt(const asio::any_io_executor& executor, Role role, pid_t pid,
                                        UniqueFd pidfd) {
  std::shared_ptr<Process> process(new Process(executor, role, pid, std::move(pidfd)));
  process->watch();
  return process;
}

void Process::watch() {
  pidfd_.async_wait(Stream::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->reap();
  });
}

void Process::reap() {
  siginfo_t info{};
  const auto pidfd = static_cast<id_t>(pidfd_.native_handle());
  if (::waitid(static_cast<idtype_t>(P_PIDFD), pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
    // The reactor can wake a fresh descriptor for an event of an older one with the same number.
    watch();
    return;
  }
  // Reaped elsewhere (against owns_pid): the end is certain, the status is lost.
  exit_code_ = 255;
  if (info.si_pid != 0) exit_code_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  end_time_ = {.wall = std::chrono::system_clock::now(), .steady = std::chrono::steady_clock::now()};
  owned_pids().erase(pid_);
  pidfd_.close();
  limit_drain();
  ended_.set();
}

// Descendants may hold the pipes open for ever: what is in them when the time is up is the last that readers
// get.
void Process::limit_drain() {
  drain_timer_.expires_after(kDrainLimit);
  drain_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    for (const OutputPtr& output : {self->stdout_, self->stderr_}) {
      if (!output || !output->stream.is_open() || writers_gone(output->stream.native_handle())) continue;
      int waiting = 0;
      ::ioctl(output->stream.native_handle(), FIONREAD, &waiting);
      output->left = static_cast<size_t>(std::max(waiting, 0));
      output->stream.cancel();
    }
  });
}

void Process::set_streams(Streams streams, bool terminal) {
  const auto executor = pidfd_.get_executor();
  const auto open = [&](UniqueFd& fd) -> OutputPtr {
    if (!fd) return nullptr;
    set_nonblocking(fd.get());
    return std::make_shared<Output>(executor, fd.release());
  };
  terminal_ = terminal;
  stdin_ = open(streams.stdin_fd);
  stdout_ = terminal ? stdin_ : open(streams.stdout_fd);
  stderr_ = terminal ? stdin_ : open(streams.stderr_fd);
}

Awaitable<int> Process::wait() {
  const auto self = shared_from_this();
  co_await ended_.wait();
  co_return *exit_code_;
}

void Process::signal(int number) {
  if (exit_code_) return;
  if (number < 0 || number >= NSIG)
    throw Error(Code::kInvalidArgument, "signal " + std::to_string(number) + " does not exist");
  int sent = number;
  try {
    if (role_ == Role::kInit && number == SIGTERM && !reacts_to(pid_, SIGTERM)) sent = SIGKILL;
  } catch (const Error&) {
    // It ends right now.
    return;
  }
  if (::syscall(SYS_pidfd_send_signal, pidfd_.native_handle(), sent, nullptr, 0) != 0 && errno != ESRCH)
    throw_errno("sending signal " + std::to_string(number) + " to process " + std::to_string(pid_));
}

Awaitable<size_t> Process::write_stdin(std::string_view data) {
  const auto self = shared_from_this();
  const OutputPtr input = stdin_;
  if (!input || !input->stream.is_open()) throw Error(Code::kFailedPrecondition, "standard input is closed");
  if (data.empty()) {
    close_stdin();
    co_return 0;
  }
  size_t written = 0;
  while (written < data.size()) {
    const ssize_t n = ::write(input->stream.native_handle(), data.data() + written, data.size() - written);
    if (n >= 0) {
      written += static_cast<size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == EIO)
      throw Error(Code::kUnavailable, "the process has closed its standard input");
    if (errno != EAGAIN) throw_errno("writing to standard input");
    boost::system::error_code error;
    co_await input->stream.async_wait(Stream::wait_write, asio::redirect_error(asio::use_awaitable, error));
    if (!input->stream.is_open()) throw Error(Code::kFailedPrecondition, "standard input was closed");
    if (error) throw boost::system::system_error(error);
  }
  co_return written;
}

void Process::close_stdin() {
  // The master of a terminal is still read: only the last owner closes it.
  if (stdin_ && !terminal_) stdin_->stream.close();
  stdin_.reset();
}

Awaitable<std::string> Process::read_stdout(size_t length, size_t headroom) {
  return read_stream(stdout_, length, headroom);
}
Awaitable<std::string> Process::read_stderr(size_t length, size_t headroom) {
  return read_stream(stderr_, length, headroom);
}

Awaitable<std::string> Process::read_stream(OutputPtr output, size_t length, size_t headroom) {
  const auto self = shared_from_this();
  std::string data;
  if (!output || length == 0) co_return data;
  for (;;) {
    if (!output->stream.is_open() || output->left == 0) co_return data;
    const size_t room = std::min({length, kMaxChunk, output->left.value_or(kMaxChunk)});
    ssize_t n = 0;
    data.resize_and_overwrite(headroom + room, [&](char* bytes, size_t) {
      n = ::read(output->stream.native_handle(), bytes + headroom, room);
      return n > 0 ? headroom + static_cast<size_t>(n) : size_t{0};
    });
    if (n > 0 && output->left) *output->left -= static_cast<size_t>(n);
    // A terminal whose other end is closed answers EIO.
    if (n >= 0 || errno == EIO) co_return data;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) throw_errno("reading the output of process " + std::to_string(pid_));
    if (output->left) co_return data;
    // Nothing there: give the memory back for the time of waiting.
    data = std::string();
    boost::system::error_code error;
    co_await output->stream.async_wait(Stream::wait_read, asio::redirect_error(asio::use_awaitable, error));
    if (error && output->stream.is_open() && !output->left) throw boost::system::system_error(error);
  }
}

void Process::resize(uint16_t rows, uint16_t columns) {
  const OutputPtr& master = stdout_;
  if (!terminal_ || !master || !master->stream.is_open())
    throw Error(Code::kUnavailable, "process " + std::to_string(pid_) + " has no terminal");
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  if (::ioctl(master->stream.native_handle(), TIOCSWINSZ, &size) != 0) throw_errno("resizing the terminal");
}

void Process::close_streams() {
  for (OutputPtr* output : {&stdin_, &stdout_, &stderr_}) {
    if (*output && (*output)->stream.is_open()) (*output)->stream.close();
    output->reset();
  }
}

}  // namespace kata::container
