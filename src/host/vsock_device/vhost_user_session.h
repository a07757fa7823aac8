// The back-end's end of a vhost-user connection: keeps memory table, features and rings as the front-end
// (QEMU) sets them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "host/vsock_device/guest_memory.h"
#include "host/vsock_device/vhost_user_message.h"
#include "host/vsock_device/virtqueue.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

enum class RingRole : uint32_t { kReceive = 0, kTransmit = 1, kEvent = 2 };
constexpr size_t kRingCount = 3;

// Told when rings start and stop, so that their kick descriptors are watched exactly as long as they are
// open (closing one does not end an epoll registration while the front-end has it open too). A change of the
// memory table stops and starts rings within one message.
class RingObserver {
 public:
  virtual ~RingObserver() = default;
  // `kick` is readable when the guest has put buffers there.
  virtual void ring_started(RingRole role, int kick) = 0;
  virtual void ring_stopped(RingRole role, int kick) = 0;
};

class VhostUserSession {
 public:
  // A connected stream socket. The observer outlives the session.
  VhostUserSession(UniqueFd socket, uint64_t guest_cid, RingObserver& observer);

  [[nodiscard]] int fd() const { return socket_.get(); }
  // Reads and answers one message. False when the front-end has closed the connection. Throws when it breaks
  // the protocol: the session is over then too.
  bool handle_message();

  // The ring, when the front-end has started it and it lies in guest memory; null otherwise.
  [[nodiscard]] Virtqueue* ring(RingRole role);
  // Interrupts the guest for the ring.
  void call(RingRole role) const;
  // Reports a broken ring to the front-end and stops it until the front-end starts it anew.
  void fail(RingRole role);

 private:
  struct Ring {
    RingLayout layout;
    uint16_t next = 0;
    bool enabled = false;
    bool failed = false;
    UniqueFd kick;
    UniqueFd call;
    UniqueFd error;
    std::unique_ptr<Virtqueue> queue;
  };
  struct Message {
    MessageHeader header;
    std::vector<std::byte> payload;
    std::vector<UniqueFd> fds;
  };
  // The answer's payload; none where the request has none of its own.
  using Reply = std::optional<std::vector<std::byte>>;

  bool receive(Message& message);
  size_t receive_some(std::byte* data, size_t size, std::vector<UniqueFd>& fds);
  void send_reply(Request request, const std::vector<std::byte>& payload);
  Reply dispatch(Message& message);
  Reply dispatch_memory(Message& message);
  Reply dispatch_ring(Message& message);
  void set_features(uint64_t features);
  void set_memory_table(Message& message);
  void set_ring_fd(Message& message);
  std::vector<std::byte> stop_ring(uint32_t index);
  [[nodiscard]] std::vector<std::byte> config(Payload payload) const;
  Ring& at(uint32_t index);
  // Starts what has become complete, stops what no longer is.
  void update_rings();
  void stop(Ring& ring);
  [[nodiscard]] RingRole role_of(const Ring& ring) const {
    return static_cast<RingRole>(&ring - rings_.data());
  }

  UniqueFd socket_;
  uint64_t guest_cid_;
  RingObserver& observer_;
  uint64_t features_ = 0;
  uint64_t protocol_features_ = 0;
  GuestMemory memory_;
  std::array<Ring, kRingCount> rings_;
};

}  // namespace kata::vsock_device
