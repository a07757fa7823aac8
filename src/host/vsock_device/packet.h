// The header of a virtio-vsock packet (virtio 1.2, section 5.10.6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace kata::vsock_device {

constexpr uint64_t kHostCid = 2;
constexpr uint16_t kTypeStream = 1;
constexpr size_t kHeaderSize = 44;

enum class Operation : uint16_t {
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kReadWrite = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// Flags of kShutdown: what the sender of the packet will not do any more.
constexpr uint32_t kShutdownReceive = 1;
constexpr uint32_t kShutdownSend = 2;
constexpr uint32_t kShutdownBoth = kShutdownReceive | kShutdownSend;

struct PacketHeader {
  uint64_t source_cid = 0;
  uint64_t destination_cid = 0;
  uint32_t source_port = 0;
  uint32_t destination_port = 0;
  // Bytes of payload.
  uint32_t length = 0;
  uint16_t type = kTypeStream;
  // As the peer wrote it: may be no Operation at all.
  Operation operation = Operation::kReset;
  uint32_t flags = 0;
  // Size of the sender's receive buffer and count of bytes it has taken out of it, for flow control.
  uint32_t buffer_size = 0;
  uint32_t forwarded = 0;
};

using HeaderBytes = std::array<std::byte, kHeaderSize>;
PacketHeader decode(const HeaderBytes& bytes);
HeaderBytes encode(const PacketHeader& header);

}  // namespace kata::vsock_device
