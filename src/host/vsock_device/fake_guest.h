// For tests: a front-end and a guest driver in one, at the other end of a vhost-user socket. Everything
// happens when a method is called; the device runs when the test lets it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/vsock_device/fake_ring.h"
#include "host/vsock_device/packet.h"
#include "host/vsock_device/vhost_user_message.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

struct FakePacket {
  PacketHeader header;
  std::string payload;
};

class FakeGuest {
 public:
  static constexpr uint32_t kRingSize = 64;
  static constexpr size_t kMemorySize = size_t{16} << 20;
  static constexpr uint32_t kReceiveBuffer = 4096;
  static constexpr uint64_t kCid = 42;

  // `run_device` lets the device handle what lies on its socket.
  FakeGuest(UniqueFd socket, std::function<void()> run_device);
  ~FakeGuest();
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  // The front-end's messages. call() returns the reply's payload.
  void send(Request request, const void* payload, size_t size, const std::vector<int>& fds = {});
  std::string call(Request request, const void* payload, size_t size, const std::vector<int>& fds = {});
  uint64_t call_u64(Request request);
  void set_u64(Request request, uint64_t value, const std::vector<int>& fds = {});

  // Feature negotiation, memory table, rings: everything up to DRIVER_OK. Then receive buffers.
  void start(uint64_t features = (1ULL << 28) | (1ULL << 29) | (1ULL << 30) | (1ULL << 32));
  void set_memory();
  void start_ring(uint32_t index);
  void post_receive_buffers(size_t count);
  // GET_VRING_BASE of both rings: the guest has reset the device. The rings are empty afterwards.
  void stop();

  // Sends one packet: header, and payload if any, in one chain of `pieces` descriptors.
  void transmit(const PacketHeader& header, std::string_view payload = {}, size_t pieces = 2);
  // The next packet from the device; its buffer is posted again.
  std::optional<FakePacket> receive(bool repost = true);
  // The same, waiting for the device's interrupt; none after 10 s. For a device in another process.
  std::optional<FakePacket> await();
  void close_socket() { socket_.reset(); }

  [[nodiscard]] std::byte* memory() const { return memory_; }
  FakeRing& receive_ring() { return rings_[0]; }
  FakeRing& transmit_ring() { return rings_[1]; }
  void kick(uint32_t index);
  // Whether the device has interrupted the guest for the ring since the last question.
  bool interrupted(uint32_t index);

 private:
  [[nodiscard]] uint64_t receive_buffer(uint16_t index) const;
  void reclaim_transmit();
  void empty_rings();

  UniqueFd socket_;
  std::function<void()> run_device_;
  UniqueFd memory_fd_;
  std::byte* memory_ = nullptr;
  std::vector<FakeRing> rings_;
  std::vector<UniqueFd> kicks_;
  std::vector<UniqueFd> calls_;
  uint16_t next_transmit_ = 0;
};

}  // namespace kata::vsock_device
