// The vhost-user messages that a vsock back-end needs, as bytes (QEMU documentation, interop/vhost-user).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "host/vsock_device/guest_memory.h"
#include "lib/error/error.h"

namespace kata::vsock_device {

enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemoryTable = 5,
  kSetVringNum = 8,
  kSetVringAddress = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringError = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kGetConfig = 24,
  kSetConfig = 25,
  kResetDevice = 34,
  kGetMaxMemorySlots = 36,
  kAddMemoryRegion = 37,
  kRemoveMemoryRegion = 38,
};

constexpr size_t kMessageHeaderSize = 12;
// More than any message of ours needs: 64 regions of 32 bytes.
constexpr size_t kMaxPayload = 4096;

struct MessageHeader {
  Request request{};
  bool wants_reply = false;
  uint32_t size = 0;
};

// kInvalidArgument for another protocol version, a reply, or a payload beyond kMaxPayload.
std::expected<MessageHeader, Error> parse_message_header(
    std::span<const std::byte, kMessageHeaderSize> bytes);
std::array<std::byte, kMessageHeaderSize> encode_reply_header(Request request, uint32_t size);

// The payloads. Each parser refuses a payload that is shorter than its form says.
using Payload = std::span<const std::byte>;

std::expected<uint64_t, Error> parse_u64(Payload payload);

struct VringState {
  uint32_t index = 0;
  uint32_t value = 0;
};
std::expected<VringState, Error> parse_vring_state(Payload payload);

struct VringAddress {
  uint32_t index = 0;
  uint64_t descriptors = 0;
  uint64_t used = 0;
  uint64_t available = 0;
};
std::expected<VringAddress, Error> parse_vring_address(Payload payload);

// Payload of SET_VRING_KICK, _CALL and _ERR: which ring, and whether a descriptor comes along.
struct VringFd {
  uint32_t index = 0;
  bool has_fd = false;
};
std::expected<VringFd, Error> parse_vring_fd(Payload payload);

std::expected<std::vector<RegionSpec>, Error> parse_memory_table(Payload payload);
std::expected<RegionSpec, Error> parse_memory_region(Payload payload);

struct ConfigRange {
  uint32_t offset = 0;
  uint32_t size = 0;
};
std::expected<ConfigRange, Error> parse_config(Payload payload);

}  // namespace kata::vsock_device
