#include "host/resource/network/netns_holder.h"

#include <array>
#include <csignal>
#include <optional>
#include <sys/prctl.h>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>

#include "host/resource/network/netns.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::network {
namespace {

constexpr Duration kStartLimit = std::chrono::seconds(5);
constexpr std::string_view kReady = "ready";

[[noreturn]] void hold(const std::string& path, pid_t parent, int report) {
  // The parent may have gone already: then nobody would send the signal.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(1);
  if (path.empty()) {
    if (::unshare(CLONE_NEWNET) != 0) throw_errno("making a network namespace");
  } else {
    enter_netns(path, std::nullopt);
  }
  write_all(report, kReady, "the report of a namespace's holder");
  // What it has of its parent's shall end when the parent lets go of it.
  ::close_range(0, ~0U, 0);
  for (;;) ::pause();
}

// The first words of the child: kReady, or what went wrong.
Awaitable<std::string> first_words(UniqueFd reader) {
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor pipe(executor, reader.release());
  std::array<char, 1024> text{};
  boost::system::error_code error;
  const size_t n =
      co_await pipe.async_read_some(asio::buffer(text), asio::redirect_error(asio::use_awaitable, error));
  co_return std::string(text.data(), n);
}

}  // namespace

Awaitable<std::unique_ptr<NetnsHolder>> NetnsHolder::start(std::string path) {
  const auto executor = co_await asio::this_coro::executor;
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const auto body = [&, parent = ::getpid()] {
    try {
      hold(path, parent, writer.get());
    } catch (const Error& error) {
      write_all(writer.get(), error.message(), "the report of a namespace's holder");
    }
  };
  std::unique_ptr<NetnsHolder> holder(
      new NetnsHolder(ChildProcess::fork_and_run(executor, body, writer.get())));
  writer.reset();
  const std::string words = co_await with_deadline(first_words(std::move(reader)), kStartLimit,
                                                   "starting a process in the pod's network namespace");
  if (words != kReady) {
    co_await holder->end();
    throw Error(Code::kFailedPrecondition, "a process for the pod's network: " + words);
  }
  co_return holder;
}

NetnsHolder::~NetnsHolder() {
  child_->signal(SIGKILL);
}

UniqueFd NetnsHolder::open() const {
  return open_file("/proc/" + std::to_string(pid()) + "/ns/net", O_RDONLY);
}

Awaitable<> NetnsHolder::end() {
  child_->signal(SIGKILL);
  co_await child_->wait();
}

}  // namespace kata::network
