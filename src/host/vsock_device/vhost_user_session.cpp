#include "host/vsock_device/vhost_user_session.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <tuple>
#include <utility>

#include "lib/fd/io.h"

namespace kata::vsock_device {
namespace {

constexpr uint64_t bit(unsigned number) {
  return uint64_t{1} << number;
}
constexpr uint64_t kIndirect = bit(28);
constexpr uint64_t kEventIndex = bit(29);
constexpr uint64_t kProtocolFeatures = bit(30);
constexpr uint64_t kVersion1 = bit(32);
constexpr uint64_t kOffered = kIndirect | kEventIndex | kProtocolFeatures | kVersion1;

constexpr uint64_t kMultiQueue = bit(0);
constexpr uint64_t kReplyAck = bit(3);
constexpr uint64_t kConfig = bit(9);
constexpr uint64_t kMemorySlots = bit(15);
constexpr uint64_t kOfferedProtocol = kMultiQueue | kReplyAck | kConfig | kMemorySlots;

constexpr size_t kMaxFds = 8;
// The front-end writes a message at once; one that stops in the middle is broken.
constexpr timeval kReceiveLimit{.tv_sec = 5, .tv_usec = 0};

template <typename T>
std::vector<std::byte> bytes_of(const T& value) {
  std::vector<std::byte> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <typename T>
T must(std::expected<T, Error> parsed) {
  if (!parsed) throw parsed.error();
  return *std::move(parsed);
}

UniqueFd take_fd(std::vector<UniqueFd>& fds, size_t index, const char* what) {
  if (index >= fds.size() || !fds[index])
    throw Error(Code::kInvalidArgument, "vhost-user message: descriptor missing for " + std::string(what));
  return std::move(fds[index]);
}

}  // namespace

VhostUserSession::VhostUserSession(UniqueFd socket, uint64_t guest_cid, RingObserver& observer)
    : socket_(std::move(socket)), guest_cid_(guest_cid), observer_(observer) {
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kReceiveLimit, sizeof(kReceiveLimit));
}

size_t VhostUserSession::receive_some(std::byte* data, size_t size, std::vector<UniqueFd>& fds) {
  iovec piece{.iov_base = data, .iov_len = size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control;
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) throw_errno("reading a vhost-user message");
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t fd_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fd_count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    throw Error(Code::kInvalidArgument, "reading a vhost-user message: more descriptors than any needs");
  return static_cast<size_t>(count);
}

bool VhostUserSession::receive(Message& message) {
  const auto fill = [&](std::byte* data, size_t size) {
    size_t done = 0;
    while (done < size) {
      const size_t count = receive_some(data + done, size - done, message.fds);
      if (count == 0) break;
      done += count;
    }
    return done;
  };
  std::array<std::byte, kMessageHeaderSize> header;
  const size_t got = fill(header.data(), header.size());
  if (got == 0) return false;
  if (got < header.size()) throw Error(Code::kDataLoss, "reading a vhost-user message: cut off");
  message.header = must(parse_message_header(header));
  message.payload.resize(message.header.size);
  if (fill(message.payload.data(), message.payload.size()) < message.payload.size())
    throw Error(Code::kDataLoss, "reading a vhost-user message: cut off");
  return true;
}

void VhostUserSession::send_reply(Request request, const std::vector<std::byte>& payload) {
  const auto header = encode_reply_header(request, static_cast<uint32_t>(payload.size()));
  std::string bytes(reinterpret_cast<const char*>(header.data()), header.size());
  bytes.append(reinterpret_cast<const char*>(payload.data()), payload.size());
  write_all(socket_.get(), bytes, "answering a vhost-user message");
}

bool VhostUserSession::handle_message() {
  Message message;
  if (!receive(message)) return false;
  const Request request = message.header.request;
  const bool acknowledge = message.header.wants_reply && (protocol_features_ & kReplyAck) != 0;
  Reply reply;
  try {
    reply = dispatch(message);
    update_rings();
  } catch (const Error&) {
    if (acknowledge) send_reply(request, bytes_of(uint64_t{1}));
    throw;
  }
  if (!reply && acknowledge) reply = bytes_of(uint64_t{0});
  if (reply) send_reply(request, *reply);
  return true;
}

VhostUserSession::Reply VhostUserSession::dispatch(Message& message) {
  switch (message.header.request) {
    case Request::kGetFeatures:
      return bytes_of(kOffered);
    case Request::kSetFeatures:
      set_features(must(parse_u64(message.payload)));
      return std::nullopt;
    case Request::kGetProtocolFeatures:
      return bytes_of(kOfferedProtocol);
    case Request::kSetProtocolFeatures:
      protocol_features_ = must(parse_u64(message.payload)) & kOfferedProtocol;
      return std::nullopt;
    case Request::kGetQueueNum:
      return bytes_of(uint64_t{kRingCount});
    case Request::kGetConfig:
      return config(message.payload);
    case Request::kSetOwner:
    case Request::kSetConfig:
      return std::nullopt;
    case Request::kResetOwner:
    case Request::kResetDevice:
      for (Ring& ring : rings_) {
        stop(ring);
        ring = Ring{};
      }
      return std::nullopt;
    case Request::kSetMemoryTable:
    case Request::kGetMaxMemorySlots:
    case Request::kAddMemoryRegion:
    case Request::kRemoveMemoryRegion:
      return dispatch_memory(message);
    default:
      return dispatch_ring(message);
  }
}

VhostUserSession::Reply VhostUserSession::dispatch_memory(Message& message) {
  switch (message.header.request) {
    case Request::kSetMemoryTable:
      set_memory_table(message);
      return std::nullopt;
    case Request::kGetMaxMemorySlots:
      return bytes_of(uint64_t{GuestMemory::kMaxRegions});
    case Request::kAddMemoryRegion: {
      const RegionSpec region = must(parse_memory_region(message.payload));
      for (Ring& ring : rings_) stop(ring);
      memory_.add(region, take_fd(message.fds, 0, "a memory region"));
      return std::nullopt;
    }
    default: {
      const RegionSpec region = must(parse_memory_region(message.payload));
      for (Ring& ring : rings_) stop(ring);
      if (!memory_.remove(region))
        throw Error(Code::kNotFound, "removing a memory region that was never added");
      return std::nullopt;
    }
  }
}

VhostUserSession::Reply VhostUserSession::dispatch_ring(Message& message) {
  switch (message.header.request) {
    case Request::kSetVringNum: {
      const VringState state = must(parse_vring_state(message.payload));
      Ring& ring = at(state.index);
      stop(ring);
      ring.layout.size = state.value;
      return std::nullopt;
    }
    case Request::kSetVringBase: {
      const VringState state = must(parse_vring_state(message.payload));
      Ring& ring = at(state.index);
      stop(ring);
      ring.next = static_cast<uint16_t>(state.value);
      return std::nullopt;
    }
    case Request::kSetVringAddress: {
      const VringAddress address = must(parse_vring_address(message.payload));
      Ring& ring = at(address.index);
      stop(ring);
      ring.layout.descriptors = address.descriptors;
      ring.layout.available = address.available;
      ring.layout.used = address.used;
      return std::nullopt;
    }
    case Request::kSetVringEnable: {
      const VringState state = must(parse_vring_state(message.payload));
      at(state.index).enabled = state.value == 1;
      return std::nullopt;
    }
    case Request::kGetVringBase:
      return stop_ring(must(parse_vring_state(message.payload)).index);
    case Request::kSetVringKick:
    case Request::kSetVringCall:
    case Request::kSetVringError:
      set_ring_fd(message);
      return std::nullopt;
    default:
      throw Error(Code::kUnimplemented, "vhost-user message " +
                                            std::to_string(static_cast<uint32_t>(message.header.request)) +
                                            ": a feature that was not offered");
  }
}

void VhostUserSession::set_features(uint64_t features) {
  if ((features & ~kOffered) != 0)
    throw Error(Code::kInvalidArgument, "vhost-user: features that were not offered");
  features_ = features;
  // Without the protocol features rings need no SET_VRING_ENABLE.
  if ((features & kProtocolFeatures) == 0) {
    for (Ring& ring : rings_) ring.enabled = true;
  }
}

void VhostUserSession::set_memory_table(Message& message) {
  const std::vector<RegionSpec> regions = must(parse_memory_table(message.payload));
  // The rings point into the old mappings; update_rings() finds them again.
  for (Ring& ring : rings_) stop(ring);
  memory_.clear();
  for (size_t i = 0; i < regions.size(); ++i)
    memory_.add(regions[i], take_fd(message.fds, i, "a memory region"));
}

void VhostUserSession::set_ring_fd(Message& message) {
  const VringFd spec = must(parse_vring_fd(message.payload));
  Ring& ring = at(spec.index);
  UniqueFd fd = spec.has_fd ? take_fd(message.fds, 0, "a ring") : UniqueFd();
  switch (message.header.request) {
    case Request::kSetVringKick:
      stop(ring);
      ring.failed = false;
      ring.kick = std::move(fd);
      return;
    case Request::kSetVringCall:
      ring.call = std::move(fd);
      return;
    default:
      ring.error = std::move(fd);
      return;
  }
}

std::vector<std::byte> VhostUserSession::stop_ring(uint32_t index) {
  Ring& ring = at(index);
  stop(ring);
  ring.kick.reset();
  ring.call.reset();
  return bytes_of(VringState{.index = index, .value = ring.next});
}

std::vector<std::byte> VhostUserSession::config(Payload payload) const {
  const ConfigRange range = must(parse_config(payload));
  struct {
    ConfigRange range;
    uint32_t flags = 0;
  } head{.range = range};
  std::vector<std::byte> reply = bytes_of(head);
  // The whole of struct virtio_vsock_config is the guest's context id; what lies behind it is zero.
  const std::vector<std::byte> cid = bytes_of(guest_cid_);
  for (uint32_t i = range.offset; i < range.offset + range.size; ++i)
    reply.push_back(i < cid.size() ? cid[i] : std::byte{0});
  return reply;
}

VhostUserSession::Ring& VhostUserSession::at(uint32_t index) {
  if (index >= rings_.size())
    throw Error(Code::kInvalidArgument, "vhost-user: there is no ring " + std::to_string(index));
  return rings_[index];
}

void VhostUserSession::update_rings() {
  for (Ring& ring : rings_) {
    const bool complete = ring.enabled && !ring.failed && ring.kick && ring.layout.size > 0 &&
                          ring.layout.descriptors != 0 && memory_.region_count() > 0;
    if (!complete) {
      stop(ring);
    } else if (!ring.queue) {
      const auto features = static_cast<RingFeature>(((features_ & kEventIndex) != 0 ? 1 : 0) |
                                                     ((features_ & kIndirect) != 0 ? 2 : 0));
      ring.queue = std::make_unique<Virtqueue>(memory_, ring.layout, ring.next, features);
      observer_.ring_started(role_of(ring), ring.kick.get());
    }
  }
}

void VhostUserSession::stop(Ring& ring) {
  if (!ring.queue) return;
  ring.next = ring.queue->next();
  ring.queue.reset();
  observer_.ring_stopped(role_of(ring), ring.kick.get());
}

Virtqueue* VhostUserSession::ring(RingRole role) {
  return rings_[static_cast<size_t>(role)].queue.get();
}

void VhostUserSession::call(RingRole role) const {
  const int fd = rings_[static_cast<size_t>(role)].call.get();
  constexpr uint64_t kOne = 1;
  if (fd >= 0) std::ignore = ::write(fd, &kOne, sizeof(kOne));
}

void VhostUserSession::fail(RingRole role) {
  Ring& ring = rings_[static_cast<size_t>(role)];
  constexpr uint64_t kOne = 1;
  if (ring.error) std::ignore = ::write(ring.error.get(), &kOne, sizeof(kOne));
  ring.failed = true;
  stop(ring);
}

}  // namespace kata::vsock_device
