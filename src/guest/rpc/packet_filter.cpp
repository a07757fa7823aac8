#include "guest/rpc/packet_filter.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <sys/mman.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"

namespace kata::rpc {
namespace {

constexpr std::chrono::seconds kLimit{10};
// An answer fits one message.
constexpr size_t kMaxOutput = size_t{3} << 20;

std::string find_program(IpFamily family, const std::string& verb) {
  const std::string name = (family == IpFamily::kV4 ? "iptables-" : "ip6tables-") + verb;
  for (const char* folder : {"/usr/sbin/", "/sbin/"}) {
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  throw Error(Code::kUnimplemented, name + " is not in this guest (looked in /usr/sbin and /sbin)");
}

// Files in memory: a program can write all it likes without anybody reading along.
UniqueFd memory_file(std::string_view content) {
  UniqueFd fd(::memfd_create("packet-filter", MFD_CLOEXEC));
  if (!fd) throw_errno("making a file in memory");
  write_all(fd.get(), content, "a file in memory");
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) throw_errno("rewinding a file in memory");
  return fd;
}

std::string content_of(const UniqueFd& fd) {
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) throw_errno("rewinding a file in memory");
  return read_all(fd.get(), kMaxOutput, "the output of a program");
}

Awaitable<std::string> run_program(std::vector<std::string> argv, std::string input) {
  const UniqueFd in = memory_file(input);
  const UniqueFd out = memory_file("");
  const UniqueFd err = memory_file("");
  Command command;
  command.argv = std::move(argv);
  command.stdin_fd = in.get();
  command.stdout_fd = out.get();
  command.stderr_fd = err.get();
  const std::string name = command.argv.front();
  const auto child = ChildProcess::start(co_await asio::this_coro::executor, command);
  std::exception_ptr failure;
  ExitStatus status;
  try {
    status = co_await with_deadline(child->wait(), kLimit, "running " + name);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    child->signal(SIGKILL);
    std::rethrow_exception(failure);
  }
  if (status.code != 0)
    throw Error(Code::kInternal, name + ": " + status.text() + ": " + content_of(err).substr(0, 1000));
  co_return content_of(out);
}

}  // namespace

Awaitable<std::string> save_packet_filter(IpFamily family) {
  std::vector<std::string> argv = {find_program(family, "save")};
  co_return co_await run_program(std::move(argv), "");
}

Awaitable<std::string> restore_packet_filter(IpFamily family, std::string rules) {
  std::vector<std::string> argv = {find_program(family, "restore"), "--wait", "5"};
  co_return co_await run_program(std::move(argv), std::move(rules));
}

}  // namespace kata::rpc
