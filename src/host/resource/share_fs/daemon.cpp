#include "host/resource/share_fs/daemon.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::share_fs {
namespace {

constexpr Duration kLeaveLimit = std::chrono::milliseconds(200);
constexpr Duration kTermLimit = std::chrono::milliseconds(500);
constexpr Duration kDrainLimit = std::chrono::milliseconds(200);
constexpr size_t kMaxLine = 500;
constexpr size_t kLinesPerSecond = 50;

// What the C one says whenever a VM has gone, at its highest level.
bool says_goodbye(const std::string& line) {
  return line.find("Unexpected poll revents 11") != std::string::npos ||
         line.find("fv_remove_watch: TODO!") != std::string::npos;
}

}  // namespace

UniqueFd listen_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(Code::kInvalidArgument, "socket path " + path + " is longer than " +
                                            std::to_string(sizeof address.sun_path - 1) + " bytes");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno("making a socket");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("removing the old " + path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("binding a socket to " + path);
  if (::listen(fd.get(), 1) != 0) throw_errno("listening on " + path);
  return fd;
}

StartedVirtiofsd start_virtiofsd(const asio::any_io_executor& executor, Flavour flavour,
                                 const VirtiofsdOptions& options,
                                 const std::vector<std::string>& cgroup_procs) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  Command command;
  command.argv = virtiofsd_command(flavour, options);
  command.stdout_fd = writer.get();
  command.stderr_fd = writer.get();
  command.inherit = {options.listen_fd};
  command.session = Command::Session::kOwn;
  command.join_cgroups = cgroup_procs;
  // Files are made as the guest's user, but without the supplementary groups that let this user make them
  // (fsGroup): whether it may is the guest kernel's decision, which was asked first. The Rust program sees to
  // it by itself.
  if (flavour == Flavour::kC) command.rights_of_others = Command::RightsOfOthers::kKept;
  std::string text;
  for (const std::string& argument : command.argv) text += (text.empty() ? "" : " ") + argument;
  log::debug("starting virtiofsd", {{"command", text}});
  auto child = ChildProcess::start(executor, command);
  return {.child = std::move(child), .output = std::move(reader)};
}

VirtiofsdProcess::VirtiofsdProcess(const asio::any_io_executor& executor, StartedVirtiofsd started,
                                   VirtiofsdOptions::Verbosity verbosity)
    : executor_(executor),
      child_(std::move(started.child)),
      output_(executor, started.output.release()),
      verbosity_(verbosity),
      output_read_(executor),
      ended_(executor) {}

void VirtiofsdProcess::watch() {
  asio::co_spawn(executor_, forward_output(), asio::detached);
  asio::co_spawn(executor_, watch_process(), asio::detached);
}

Awaitable<> VirtiofsdProcess::forward_output() {
  const auto self = shared_from_this();
  std::array<char, 1024> buffer;
  std::string line;
  boost::system::error_code error;
  while (!error) {
    const size_t n = co_await output_.async_read_some(asio::buffer(buffer),
                                                      asio::redirect_error(asio::use_awaitable, error));
    for (const char c : std::string_view(buffer.data(), n)) {
      if (c == '\n') {
        log_line(std::exchange(line, {}));
      } else if (line.size() < kMaxLine) {
        line.push_back(c);
      }
    }
  }
  if (!line.empty()) log_line(std::move(line));
  output_read_.set();
}

void VirtiofsdProcess::log_line(std::string line) {
  const TimePoint now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    if (dropped_ != 0)
      log::warning("virtiofsd wrote too much", {{"lines dropped", std::to_string(dropped_)}});
    second_ = now;
    lines_ = dropped_ = 0;
  }
  last_line_ = std::move(line);
  if (++lines_ > kLinesPerSecond) {
    ++dropped_;
    return;
  }
  const bool debug = verbosity_ == VirtiofsdOptions::Verbosity::kDebug || says_goodbye(last_line_);
  log::write(debug ? log::Level::kDebug : log::Level::kWarning, last_line_, {{"source", "virtiofsd"}});
}

Awaitable<> VirtiofsdProcess::watch_process() {
  const auto self = shared_from_this();
  const ExitStatus status = co_await child_->wait();
  try {
    co_await with_deadline(output_read_.wait(), kDrainLimit, "reading the rest of virtiofsd's output");
  } catch (const Error& error) {
    // A process of its own still holds the pipe.
    log::debug("virtiofsd's output stays open", {{"reason", error.message()}});
  }
  boost::system::error_code ignored;
  output_.close(ignored);
  end_text_ = "virtiofsd ended with " + status.text() + (last_line_.empty() ? "" : ": " + last_line_);
  log::debug("virtiofsd ended", {{"pid", std::to_string(pid())}, {"reason", end_text_}});
  ended_.set();
}

Awaitable<std::string> VirtiofsdProcess::end() {
  const auto self = shared_from_this();
  co_await ended_.wait();
  co_return end_text_;
}

Awaitable<> VirtiofsdProcess::stop() {
  const auto self = shared_from_this();
  try {
    co_await with_deadline(ended_.wait(), kLeaveLimit, "waiting for virtiofsd to leave");
    co_return;
  } catch (const Error& error) {
    // The VM never connected, or is still there.
    log::debug("virtiofsd does not leave by itself", {{"reason", error.message()}});
  }
  // What it says about being told to go is no warning.
  verbosity_ = VirtiofsdOptions::Verbosity::kDebug;
  co_await child_->stop(kTermLimit);
  co_await ended_.wait();
}

void VirtiofsdProcess::kill() {
  child_->signal(SIGKILL);
}

}  // namespace kata::share_fs
