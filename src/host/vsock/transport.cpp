#include "host/vsock/transport.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>
#include <vector>

#include <unistd.h>

#include "host/vsock/vhost_vsock.h"
#include "lib/error/error.h"
#include "lib/log/log.h"
#include "lib/text/split.h"

namespace kata::vsock {
namespace {

using std::chrono_literals::operator""s;

constexpr std::string_view kDeviceName = "kata-vsock-device";

std::string find_device_program(const std::string& configured) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!configured.empty()) {
    if (fs::exists(configured, error)) return configured;
    throw Error(Code::kNotFound,
                "vsock device program " + configured + " not found (hypervisor.<name>.vsock_device_path)");
  }
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> folders = {folder, folder.parent_path() / "libexec", "/usr/libexec",
                                   "/opt/kata/libexec"};
  // For a shim that lies apart from the rest of its installation (containerd's runtime_path).
  const char* const path = std::getenv("PATH");
  for (const std::string& item : split_words(path == nullptr ? "" : path, ':')) folders.emplace_back(item);
  for (const fs::path& item : folders) {
    if (fs::exists(item / kDeviceName, error)) return item / kDeviceName;
  }
  throw Error(Code::kNotFound, "this node has no /dev/vhost-vsock and " + std::string(kDeviceName) +
                                   " is neither in " + folder.string() +
                                   " nor in PATH nor in a libexec folder: install it or name it by "
                                   "hypervisor.<name>.vsock_device_path");
}

// Bound here and handed over, so that the VMM can connect before the device process has come up.
UniqueFd listen_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(Code::kInvalidArgument, "socket path " + path + " is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno("making a socket for " + path);
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("binding " + path);
  if (::listen(fd.get(), 1) != 0) throw_errno("listening on " + path);
  return fd;
}

}  // namespace

TransportConfig::Mode parse_transport_mode(const std::string& name) {
  if (name.empty() || name == "auto") return TransportConfig::Mode::kAuto;
  if (name == "vhost-vsock") return TransportConfig::Mode::kVhost;
  if (name == "vhost-user") return TransportConfig::Mode::kVhostUser;
  throw Error(Code::kInvalidArgument,
              "agent_transport is \"" + name + "\": auto, vhost-vsock or vhost-user expected");
}

Awaitable<std::unique_ptr<Transport>> Transport::prepare(TransportConfig config) {
  const auto executor = co_await asio::this_coro::executor;
  std::unique_ptr<Transport> transport(new Transport(std::move(config)));
  TransportConfig& chosen = transport->config_;
  if (chosen.mode == TransportConfig::Mode::kAuto) {
    chosen.mode = vhost_vsock_available() ? TransportConfig::Mode::kVhost : TransportConfig::Mode::kVhostUser;
  }
  if (chosen.mode == TransportConfig::Mode::kVhost) {
    chosen.vhost_user_socket.clear();
    auto [fd, cid] = open_vhost_vsock();
    transport->vhost_fd_ = std::move(fd);
    transport->cid_ = cid;
    transport->dialer_ = make_vsock_dialer(cid);
  } else {
    transport->start_device(executor);
    transport->dialer_ = make_hybrid_dialer(chosen.hybrid_socket);
  }
  co_return transport;
}

std::unique_ptr<Transport> Transport::remote(std::string socket) {
  std::unique_ptr<Transport> transport(new Transport({}));
  transport->dialer_ = make_remote_dialer(std::move(socket));
  return transport;
}

void Transport::start_device(const asio::any_io_executor& executor) {
  const std::string program = find_device_program(config_.device_program);
  const UniqueFd listener = listen_on(config_.vhost_user_socket);
  Command command;
  command.argv = {program,
                  "--fd",
                  std::to_string(listener.get()),
                  "--uds",
                  config_.hybrid_socket,
                  "--cid",
                  std::to_string(cid_)};
  command.inherit = {listener.get()};
  command.stderr_fd = STDERR_FILENO;
  command.session = Command::Session::kOwn;
  process_ = ChildProcess::start(executor, command);
}

Awaitable<> Transport::release() {
  vhost_fd_.reset();
  if (!process_) co_return;
  const auto process = process_;
  co_await process->stop(1s);
}

}  // namespace kata::vsock
