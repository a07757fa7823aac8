// The device as a whole: one VM's vhost-user session, its switch, its listening socket, one event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "host/vsock_device/event_loop.h"
#include "host/vsock_device/switch.h"
#include "host/vsock_device/vhost_user_session.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

struct DeviceConfig {
  // The guest's context id: 3 to 2^32 - 2.
  uint32_t cid = 3;
  // Guest connections to port P of the host go to "<uds_path>_<P>".
  std::string uds_path;
  // Most connections at a time, those included that are being made or ended.
  size_t max_streams = 1024;
};

class Device : private HostSide, private RingObserver {
 public:
  // `vhost_user` is connected, `uds` listens and is non-blocking.
  Device(const DeviceConfig& config, UniqueFd vhost_user, UniqueFd uds);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Serves until the front-end closes its connection. Throws when the front-end breaks the protocol.
  void run();
  // One round of it, which waits at most `limit_ms` (-1: no limit). False once the front-end is gone.
  bool run_once(int limit_ms);

  [[nodiscard]] bool guest_up() const { return guest_up_; }
  [[nodiscard]] size_t stream_count() const { return switch_.stream_count(); }

 private:
  UniqueFd connect(uint32_t port) override;
  void watch(Stream& stream) override;
  void ring_started(RingRole role, int kick) override;
  void ring_stopped(RingRole role, int kick) override;

  void dispatch(const epoll_event& event);
  void on_session();
  void on_listener();
  void set_accepting(bool wanted);
  // Tells the switch when both rings have come up or one has gone.
  void follow_guest();
  // Moves what can be moved in both directions.
  void pump();
  // Both answer whether there is more to do; a broken ring is stopped and reported.
  bool pump_transmit();
  bool pump_receive();
  bool conclude(RingRole role, const std::expected<Switch::Progress, Error>& progress);
  [[nodiscard]] int timeout(int limit_ms) const;

  DeviceConfig config_;
  EventLoop loop_;
  UniqueFd uds_;
  Switch switch_;
  VhostUserSession session_;
  // Addresses that mark events of descriptors that are no stream.
  char session_token_ = 0;
  char listener_token_ = 0;
  char kick_token_ = 0;

  bool connected_ = true;
  bool guest_up_ = false;
  bool accepting_ = false;
  bool unfinished_ = false;
};

}  // namespace kata::vsock_device
