// For tests: a device, a fake guest and the host's programs in one thread, step by step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/vsock_device/device.h"
#include "host/vsock_device/fake_guest.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

class DeviceHarness {
 public:
  explicit DeviceHarness(size_t max_streams = 1024);
  ~DeviceHarness();
  DeviceHarness(const DeviceHarness&) = delete;
  DeviceHarness& operator=(const DeviceHarness&) = delete;

  // Lets the device do all that it can do now.
  void settle();
  Device& device() { return *device_; }
  FakeGuest& guest() { return *guest_; }
  // False once the device has noticed that its front-end is gone.
  [[nodiscard]] bool running() const { return running_; }

  // A host program that connects and sends `line`.
  UniqueFd host_connect(const std::string& line);
  // A host program that listens for the guest on `port`.
  UniqueFd host_listen(uint32_t port);
  UniqueFd host_accept(const UniqueFd& listener);

  // A packet of the guest between two ports, with its credit fields as they stand.
  void from_guest(Operation operation, StreamKey key, std::string_view payload = {}, uint32_t flags = 0,
                  size_t pieces = 2);
  // What the guest tells of its receive buffer from now on.
  void set_guest_credit(uint32_t buffer_size, uint32_t forwarded) {
    guest_buffer_ = buffer_size;
    guest_forwarded_ = forwarded;
  }
  // All packets that wait for the guest.
  std::vector<FakePacket> to_guest();
  // The only packet that waits for the guest; a header with operation 0 and a failure otherwise.
  FakePacket one_to_guest();

  // A connection between a host program and guest port 1024, opened from the host.
  struct Pair {
    UniqueFd host;
    StreamKey key;
  };
  Pair open_from_host(uint32_t guest_port = 1024);

 private:
  std::string folder_;
  std::vector<std::string> paths_;
  bool running_ = true;
  uint32_t guest_buffer_ = 256 * 1024;
  uint32_t guest_forwarded_ = 0;
  std::unique_ptr<Device> device_;
  std::unique_ptr<FakeGuest> guest_;
};

// What lies in the socket now; `ended` tells end of file.
std::string read_now(const UniqueFd& fd, bool* ended = nullptr);
void write_now(const UniqueFd& fd, std::string_view data);

}  // namespace kata::vsock_device
