#include "guest/channels/debug_console.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/accept.h"
#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::channels {
namespace {

constexpr size_t kMaxConsoles = 4;
constexpr std::chrono::seconds kGrace{2};
constexpr std::chrono::seconds kPauseBetweenShells{1};

// In the child: the terminal becomes the shell's own, then the shell.
void become_shell(int terminal, const std::string& shell) {
  ::setsid();
  if (::ioctl(terminal, TIOCSCTTY, 0) != 0) throw_errno("taking the terminal of the debug console");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(terminal, fd) < 0) throw_errno("giving the debug console its terminal");
  }
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  [[maybe_unused]] const int moved = ::chdir("/");
  ::setenv("TERM", "linux", 0);
  ::setenv("HOME", "/root", 0);
  ::execl(shell.c_str(), shell.c_str(), static_cast<char*>(nullptr));
  throw_errno("running " + shell);
}

std::shared_ptr<ChildProcess> start_shell(const asio::any_io_executor& executor, int terminal,
                                          const std::string& shell) {
  // A shell that cannot be run says so to whoever is connected.
  return ChildProcess::fork_and_run(executor, [&] { become_shell(terminal, shell); }, terminal);
}

struct Terminal {
  UniqueFd master, peer;
};

Terminal open_terminal() {
  Terminal terminal;
  terminal.master = open_file("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  int unlocked = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlocked) != 0) throw_errno("unlocking a terminal");
  terminal.peer = UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.peer) throw_errno("opening the other end of a terminal");
  return terminal;
}

// Until either side ends; a pty whose shell is gone reads as EIO.
Awaitable<> relay(asio::posix::stream_descriptor& from, asio::posix::stream_descriptor& to) {
  std::array<char, 4096> buffer;
  for (;;) {
    const size_t size = co_await from.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    const auto part = asio::buffer(buffer.data(), size);
    co_await asio::async_write(to, part, asio::use_awaitable);
  }
}

Awaitable<> relay_both(asio::posix::stream_descriptor& terminal, asio::posix::stream_descriptor& socket) {
  const auto executor = co_await asio::this_coro::executor;
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, relay(socket, terminal), asio::deferred),
      asio::co_spawn(executor, relay(terminal, socket), asio::deferred));
  co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
}

Awaitable<> run_console(UniqueFd connection, std::string shell, std::shared_ptr<size_t> open) {
  struct Leave {
    std::shared_ptr<size_t> open;
    ~Leave() { --*open; }
  } const leave{.open = open};
  const auto executor = co_await asio::this_coro::executor;
  Terminal terminal = open_terminal();
  const auto child = start_shell(executor, terminal.peer.get(), shell);
  terminal.peer.reset();
  log::warning("debug console opened", {{"subsystem", "console"}, {"shell", shell}});
  std::exception_ptr failure;
  {
    asio::posix::stream_descriptor master(executor, terminal.master.release());
    asio::posix::stream_descriptor socket(executor, connection.release());
    try {
      co_await relay_both(master, socket);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  // The shell was hung up when its terminal closed.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await child->stop(kGrace);
  log::info("debug console closed", {{"subsystem", "console"}});
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::vector<std::string> console_shells() {
  return {"/run/kata-extensions/devkit/bin/devkit-sh", "/bin/bash", "/bin/sh"};
}

std::string find_shell(const std::vector<std::string>& shells) {
  std::string tried;
  for (const std::string& shell : shells) {
    if (::access(shell.c_str(), X_OK) == 0) return shell;
    tried += (tried.empty() ? "" : ", ") + shell;
  }
  throw Error(Code::kNotFound, "debug console: no shell in the guest (looked for " + tried + ")");
}

Awaitable<> serve_console(UniqueFd listener, std::vector<std::string> shells, TaskGroup& tasks) {
  asio::posix::stream_descriptor descriptor(co_await asio::this_coro::executor, listener.release());
  const auto open = std::make_shared<size_t>(0);
  for (;;) {
    UniqueFd socket = (co_await accept_next(descriptor)).socket;
    if (*open >= kMaxConsoles) {
      log::warning("debug console refused: too many are open", {{"subsystem", "console"}});
      continue;
    }
    try {
      // An extension image with a shell may come later than the agent: looked for each time.
      std::string shell = find_shell(shells);
      ++*open;
      tasks.spawn("debug console", run_console(std::move(socket), std::move(shell), open));
    } catch (const Error& error) {
      log::warning(error.message());
    }
  }
}

Awaitable<> console_on_terminal(std::string path, std::vector<std::string> shells) {
  const auto executor = co_await asio::this_coro::executor;
  for (;;) {
    try {
      const std::string shell = find_shell(shells);
      const UniqueFd terminal = open_file(path, O_RDWR | O_NOCTTY);
      const auto child = start_shell(executor, terminal.get(), shell);
      co_await child->wait();
    } catch (const Error& error) {
      log::debug("no debug console", {{"error", error.message()}});
    }
    co_await pause_for(kPauseBetweenShells);
  }
}

}  // namespace kata::channels
