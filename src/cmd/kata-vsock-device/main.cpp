#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <tuple>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include "host/vsock_device/confine.h"
#include "host/vsock_device/device.h"
#include "host/vsock_device/listener.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

#include "cmd/kata-vsock-device/options.h"

namespace kata::vsock_device {
namespace {

// Whoever started us but never started QEMU is gone or broken.
constexpr int kConnectLimitMs = 60'000;
// Descriptors that are no streams.
constexpr size_t kReservedFds = 64;

struct Sockets {
  UniqueFd vhost_user;
  UniqueFd uds;
};

// Unlinks the sockets that this process has bound.
class BoundPaths {
 public:
  BoundPaths() = default;
  BoundPaths(const BoundPaths&) = delete;
  BoundPaths& operator=(const BoundPaths&) = delete;
  ~BoundPaths() {
    for (const std::string& path : paths_) ::unlink(path.c_str());
  }
  UniqueFd listen(const std::string& path) {
    UniqueFd fd = listen_unix(path);
    paths_.push_back(path);
    return fd;
  }

 private:
  std::vector<std::string> paths_;
};

Sockets open_sockets(const Options& options, BoundPaths& bound) {
  Sockets sockets;
  if (options.uds_fd >= 0) {
    sockets.uds.reset(options.uds_fd);
    set_nonblocking(options.uds_fd);
  } else {
    sockets.uds = bound.listen(options.uds_path);
  }
  sockets.vhost_user =
      options.socket_fd >= 0 ? UniqueFd(options.socket_fd) : bound.listen(options.socket_path);
  return sockets;
}

void report_ready(int fd) {
  if (fd < 0) return;
  const UniqueFd owned(fd);
  write_all(fd, "1", "reporting that the sockets listen");
}

// The front-end's connection, blocking as the session wants it.
UniqueFd await_frontend(UniqueFd socket) {
  if (is_listening(socket.get())) {
    pollfd entry{.fd = socket.get(), .events = POLLIN, .revents = 0};
    const int count = ::poll(&entry, 1, kConnectLimitMs);
    if (count < 0) throw_errno("waiting for the vhost-user front-end");
    if (count == 0)
      throw Error(Code::kDeadlineExceeded,
                  "waiting for the vhost-user front-end: none connected within 60 s");
    socket = UniqueFd(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) throw_errno("accepting the vhost-user front-end");
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
    throw_errno("making the vhost-user socket blocking");
  return socket;
}

// As many descriptors as the streams need, or as many streams as the limit lets us have.
size_t fit_streams(size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::min<size_t>(wanted, 512);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted + kReservedFds);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::clamp<size_t>(limit.rlim_cur - std::min<rlim_t>(limit.rlim_cur - 1, kReservedFds), 1, wanted);
}

void serve(const Options& options) {
  BoundPaths bound;
  Sockets sockets = open_sockets(options, bound);
  const DeviceConfig config{
      .cid = options.cid, .uds_path = options.uds_path, .max_streams = fit_streams(options.max_streams)};
  report_ready(options.ready_fd);
  Device device(config, await_frontend(std::move(sockets.vhost_user)), std::move(sockets.uds));
  confine();
  ::malloc_trim(0);
  device.run();
}

void start_log(const Options& options) {
  // The time zone file cannot be opened any more once confined.
  ::tzset();
  log::set_level(options.log_level);
  log::set_sink(options.log_fd == STDERR_FILENO ? log::text_sink(STDERR_FILENO)
                                                : log::json_sink(options.log_fd));
}

int run(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    if (options.action == Options::Action::kHelp) {
      std::fputs(usage(), stdout);
      return EXIT_SUCCESS;
    }
    if (options.action == Options::Action::kVersion) {
      std::puts("kata-vsock-device " KATA_VERSION);
      return EXIT_SUCCESS;
    }
    start_log(options);
    serve(options);
    log::info("front-end has closed the connection");
    return EXIT_SUCCESS;
  } catch (const Error& error) {
    log::error(error.message());
    return error.code() == Code::kInvalidArgument ? 2 : EXIT_FAILURE;
  } catch (const std::exception& error) {
    log::error(error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace
}  // namespace kata::vsock_device

int main(int argc, char** argv) {
  std::ignore = std::signal(SIGPIPE, SIG_IGN);
  return kata::vsock_device::run(argc, argv);
}
