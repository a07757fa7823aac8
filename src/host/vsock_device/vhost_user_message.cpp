#include "host/vsock_device/vhost_user_message.h"

#include <cstring>
#include <string>

#include "host/vsock_device/snapshot.h"

namespace kata::vsock_device {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kVersionMask = 3;
constexpr uint32_t kReplyFlag = 4;
constexpr uint32_t kNeedReplyFlag = 8;
constexpr uint64_t kRingIndexMask = 0xff;
constexpr uint64_t kNoFdFlag = 0x100;
constexpr uint32_t kMaxConfig = 256;

// vhost-user is in the byte order of the machine.
class Reader {
 public:
  explicit Reader(Payload bytes) : bytes_(bytes) {}

  template <typename T>
  T take() {
    T value{};
    if (bytes_.size() < sizeof(T)) {
      short_ = true;
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  template <typename T>
  std::expected<T, Error> result(T value, const char* what) const {
    if (short_)
      return std::unexpected(
          Error(Code::kInvalidArgument, "vhost-user message: payload too short for " + std::string(what)));
    return value;
  }

 private:
  Payload bytes_;
  bool short_ = false;
};

RegionSpec take_region(Reader& reader) {
  RegionSpec region;
  region.guest_address = reader.take<uint64_t>();
  region.size = reader.take<uint64_t>();
  region.frontend_address = reader.take<uint64_t>();
  region.mmap_offset = reader.take<uint64_t>();
  return region;
}

}  // namespace

std::expected<MessageHeader, Error> parse_message_header(
    std::span<const std::byte, kMessageHeaderSize> bytes) {
  Reader reader(bytes);
  MessageHeader header;
  header.request = static_cast<Request>(reader.take<uint32_t>());
  const auto flags = reader.take<uint32_t>();
  header.size = reader.take<uint32_t>();
  header.wants_reply = (flags & kNeedReplyFlag) != 0;
  const std::string name = "vhost-user message " + std::to_string(static_cast<uint32_t>(header.request));
  if ((flags & kVersionMask) != kVersion)
    return std::unexpected(Error(Code::kInvalidArgument, name + ": protocol version is not 1"));
  if ((flags & kReplyFlag) != 0)
    return std::unexpected(Error(Code::kInvalidArgument, name + ": a reply nobody asked for"));
  if (header.size > kMaxPayload)
    return std::unexpected(
        Error(Code::kInvalidArgument, name + ": payload of " + std::to_string(header.size) + " bytes"));
  return header;
}

std::array<std::byte, kMessageHeaderSize> encode_reply_header(Request request, uint32_t size) {
  const std::array<uint32_t, 3> words = {static_cast<uint32_t>(request), kVersion | kReplyFlag, size};
  std::array<std::byte, kMessageHeaderSize> bytes;
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

std::expected<uint64_t, Error> parse_u64(Payload payload) {
  Reader reader(payload);
  const auto value = reader.take<uint64_t>();
  return reader.result(value, "a number");
}

std::expected<VringState, Error> parse_vring_state(Payload payload) {
  Reader reader(payload);
  VringState state;
  state.index = reader.take<uint32_t>();
  state.value = reader.take<uint32_t>();
  return reader.result(state, "a ring's state");
}

std::expected<VringAddress, Error> parse_vring_address(Payload payload) {
  Reader reader(payload);
  VringAddress address;
  address.index = reader.take<uint32_t>();
  reader.take<uint32_t>();
  address.descriptors = reader.take<uint64_t>();
  address.used = reader.take<uint64_t>();
  address.available = reader.take<uint64_t>();
  reader.take<uint64_t>();
  return reader.result(address, "a ring's addresses");
}

std::expected<VringFd, Error> parse_vring_fd(Payload payload) {
  Reader reader(payload);
  const auto value = reader.take<uint64_t>();
  const VringFd result{.index = static_cast<uint32_t>(value & kRingIndexMask),
                       .has_fd = (value & kNoFdFlag) == 0};
  return reader.result(result, "a ring's descriptor");
}

std::expected<std::vector<RegionSpec>, Error> parse_memory_table(Payload payload) {
  Reader reader(payload);
  const auto count = reader.take<uint32_t>();
  reader.take<uint32_t>();
  if (count > GuestMemory::kMaxRegions)
    return std::unexpected(
        Error(Code::kInvalidArgument, "vhost-user memory table of " + std::to_string(count) + " regions"));
  std::vector<RegionSpec> regions;
  for (uint32_t i = 0; i < count; ++i) regions.push_back(take_region(reader));
  return reader.result(std::move(regions), "a memory table");
}

std::expected<RegionSpec, Error> parse_memory_region(Payload payload) {
  Reader reader(payload);
  reader.take<uint64_t>();
  const RegionSpec region = take_region(reader);
  return reader.result(region, "a memory region");
}

std::expected<ConfigRange, Error> parse_config(Payload payload) {
  Reader reader(payload);
  ConfigRange range;
  range.offset = reader.take<uint32_t>();
  range.size = reader.take<uint32_t>();
  reader.take<uint32_t>();
  if (range.size > kMaxConfig || range.offset > kMaxConfig || range.offset + range.size > kMaxConfig)
    return std::unexpected(Error(Code::kInvalidArgument, "vhost-user config range out of bounds"));
  return reader.result(range, "a config range");
}

}  // namespace kata::vsock_device
