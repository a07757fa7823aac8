// Which way to the guest this node has, prepared before the VM starts: the kernel's vhost-vsock, or our own
// vhost-user device beside the VMM.
#pragma once

#include <memory>
#include <string>

#include "host/vsock/dialer.h"
#include "lib/async/awaitable.h"
#include "lib/async/child_process.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock {

struct TransportConfig {
  enum class Mode { kAuto, kVhost, kVhostUser };
  Mode mode = Mode::kAuto;
  // kata-vsock-device; empty = beside this program, then the libexec folder next to it.
  std::string device_program;
  // Paths of the two sockets of the vhost-user device; their folder exists.
  std::string hybrid_socket;
  std::string vhost_user_socket;
};

// Parses agent_transport of the configuration: "auto" or empty, "vhost-vsock", "vhost-user".
TransportConfig::Mode parse_transport_mode(const std::string& name);

class Transport {
 public:
  // Chooses, takes a context id or starts the device process. Errors name the program or device that is
  // missing.
  static Awaitable<std::unique_ptr<Transport>> prepare(TransportConfig config);

  // An agent that listens on a plain Unix socket: a remote hypervisor's, or a test's.
  static std::unique_ptr<Transport> remote(std::string socket);

  [[nodiscard]] uint32_t cid() const { return cid_; }
  // Open vhost-vsock descriptor for the VMM, -1 with the vhost-user device.
  [[nodiscard]] int vhost_fd() const { return vhost_fd_.get(); }
  // Empty with vhost-vsock.
  [[nodiscard]] const std::string& vhost_user_socket() const { return config_.vhost_user_socket; }
  [[nodiscard]] const std::shared_ptr<GuestDialer>& dialer() const { return dialer_; }
  // The device process; null with vhost-vsock. It ends by itself when the VMM is gone.
  [[nodiscard]] const std::shared_ptr<ChildProcess>& process() const { return process_; }
  // The VMM has taken its descriptor.
  void vmm_started() { vhost_fd_.reset(); }
  // Ends the device process. Idempotent.
  Awaitable<> release();

 private:
  explicit Transport(TransportConfig config) : config_(std::move(config)) {}
  void start_device(const asio::any_io_executor& executor);

  TransportConfig config_;
  uint32_t cid_ = 3;
  UniqueFd vhost_fd_;
  std::shared_ptr<GuestDialer> dialer_;
  std::shared_ptr<ChildProcess> process_;
};

}  // namespace kata::vsock
