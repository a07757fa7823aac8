#include "host/vsock_device/fake_guest.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <poll.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vsock_device {
namespace {

constexpr std::array<uint64_t, 2> kRingOffsets = {0, 0x4000};
constexpr uint64_t kReceiveOffset = 0x10000;
constexpr uint64_t kTransmitOffset = 0x200000;
// Per transmit descriptor slot: a header and up to 64 KiB of payload.
constexpr uint64_t kTransmitSlot = 0x12000;
constexpr uint16_t kTransmitSlots = 16;
constexpr uint16_t kMostPieces = 4;
constexpr int kPatienceMs = 10'000;

}  // namespace

FakeGuest::FakeGuest(UniqueFd socket, std::function<void()> run_device)
    : socket_(std::move(socket)),
      run_device_(std::move(run_device)),
      memory_fd_(::memfd_create("fake-guest", MFD_CLOEXEC)) {
  if (!memory_fd_ || ::ftruncate(memory_fd_.get(), kMemorySize) != 0) throw_errno("making guest memory");
  void* mapped = ::mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0);
  if (mapped == MAP_FAILED) throw_errno("mapping guest memory");
  memory_ = static_cast<std::byte*>(mapped);
  empty_rings();
  for (int i = 0; i < 2; ++i) {
    kicks_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    calls_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
}

void FakeGuest::empty_rings() {
  rings_.clear();
  for (const uint64_t offset : kRingOffsets) {
    std::memset(memory_ + offset, 0, FakeRing::bytes(kRingSize));
    rings_.emplace_back(memory_, offset, kRingSize);
  }
}

FakeGuest::~FakeGuest() {
  ::munmap(memory_, kMemorySize);
}

void FakeGuest::send(Request request, const void* payload, size_t size, const std::vector<int>& fds) {
  const std::array<uint32_t, 3> header = {static_cast<uint32_t>(request), 1, static_cast<uint32_t>(size)};
  std::string bytes(reinterpret_cast<const char*>(header.data()), sizeof(header));
  if (size > 0) bytes.append(static_cast<const char*>(payload), size);
  iovec piece{.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 16)> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
    throw_errno("sending a vhost-user message");
  run_device_();
}

std::string FakeGuest::call(Request request, const void* payload, size_t size, const std::vector<int>& fds) {
  send(request, payload, size, fds);
  // A device in another process takes a moment.
  pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  ::poll(&waiting, 1, kPatienceMs);
  std::array<char, 4096> bytes;
  const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < static_cast<ssize_t>(kMessageHeaderSize)) throw_errno("reading a vhost-user reply");
  return {bytes.data() + kMessageHeaderSize, static_cast<size_t>(count) - kMessageHeaderSize};
}

uint64_t FakeGuest::call_u64(Request request) {
  const std::string reply = call(request, nullptr, 0);
  uint64_t value = 0;
  std::memcpy(&value, reply.data(), std::min(sizeof(value), reply.size()));
  return value;
}

void FakeGuest::set_u64(Request request, uint64_t value, const std::vector<int>& fds) {
  send(request, &value, sizeof(value), fds);
}

void FakeGuest::set_memory() {
  struct {
    uint32_t count = 1;
    uint32_t padding = 0;
    RegionSpec region{
        .guest_address = kFakeGuestBase, .size = kMemorySize, .frontend_address = kFakeFrontendBase};
  } table;
  send(Request::kSetMemoryTable, &table, sizeof(table), {memory_fd_.get()});
}

void FakeGuest::start_ring(uint32_t index) {
  const RingLayout layout = rings_[index].layout();
  const VringState number{.index = index, .value = layout.size};
  send(Request::kSetVringNum, &number, sizeof(number));
  const VringState base{.index = index, .value = rings_[index].offered()};
  send(Request::kSetVringBase, &base, sizeof(base));
  struct {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptors, used, available, log;
  } const address{.index = index,
                  .flags = 0,
                  .descriptors = layout.descriptors,
                  .used = layout.used,
                  .available = layout.available,
                  .log = 0};
  send(Request::kSetVringAddress, &address, sizeof(address));
  set_u64(Request::kSetVringKick, index, {kicks_[index].get()});
  set_u64(Request::kSetVringCall, index, {calls_[index].get()});
  const VringState enable{.index = index, .value = 1};
  send(Request::kSetVringEnable, &enable, sizeof(enable));
}

void FakeGuest::start(uint64_t features) {
  call_u64(Request::kGetFeatures);
  call_u64(Request::kGetProtocolFeatures);
  set_u64(Request::kSetProtocolFeatures, 0);
  send(Request::kSetOwner, nullptr, 0);
  set_u64(Request::kSetFeatures, features);
  set_memory();
  start_ring(0);
  start_ring(1);
}

void FakeGuest::stop() {
  for (uint32_t index = 0; index < 2; ++index) {
    const VringState state{.index = index, .value = 0};
    call(Request::kGetVringBase, &state, sizeof(state));
  }
  empty_rings();
}

uint64_t FakeGuest::receive_buffer(uint16_t index) const {
  return kReceiveOffset + uint64_t{kReceiveBuffer} * index;
}

void FakeGuest::post_receive_buffers(size_t count) {
  for (uint16_t i = 0; i < count; ++i) {
    rings_[0].describe(i, kFakeGuestBase + receive_buffer(i), kReceiveBuffer, kFakeWrite);
    rings_[0].offer(i);
  }
  kick(0);
}

void FakeGuest::kick(uint32_t index) {
  constexpr uint64_t kOne = 1;
  std::ignore = ::write(kicks_[index].get(), &kOne, sizeof(kOne));
  run_device_();
}

bool FakeGuest::interrupted(uint32_t index) {
  uint64_t count = 0;
  return ::read(calls_[index].get(), &count, sizeof(count)) == sizeof(count);
}

std::optional<FakePacket> FakeGuest::await() {
  pollfd waiting{.fd = calls_[0].get(), .events = POLLIN, .revents = 0};
  while (true) {
    if (auto packet = receive()) return packet;
    if (::poll(&waiting, 1, kPatienceMs) <= 0) return std::nullopt;
    interrupted(0);
  }
}

void FakeGuest::reclaim_transmit() {
  while (rings_[1].take_used()) {
  }
}

void FakeGuest::transmit(const PacketHeader& header, std::string_view payload, size_t pieces) {
  reclaim_transmit();
  const uint16_t slot = next_transmit_++ % kTransmitSlots;
  const uint64_t offset = kTransmitOffset + kTransmitSlot * slot;
  const HeaderBytes bytes = encode(header);
  std::memcpy(memory_ + offset, bytes.data(), bytes.size());
  if (!payload.empty()) std::memcpy(memory_ + offset + kHeaderSize, payload.data(), payload.size());
  // One piece: everything together. More: the header is cut in the middle too.
  const size_t total = kHeaderSize + payload.size();
  const auto first = static_cast<uint16_t>(slot * kMostPieces);
  size_t done = 0;
  for (size_t i = 0; i < pieces; ++i) {
    const bool last = i + 1 == pieces;
    const size_t length = last ? total - done : std::min<size_t>(total - done, i == 0 ? 20 : 24);
    const auto index = static_cast<uint16_t>(first + i);
    rings_[1].describe(index, kFakeGuestBase + offset + done, static_cast<uint32_t>(length),
                       last ? 0 : kFakeNext, static_cast<uint16_t>(index + 1));
    done += length;
  }
  rings_[1].offer(first);
  kick(1);
}

std::optional<FakePacket> FakeGuest::receive(bool repost) {
  const auto used = rings_[0].take_used();
  if (!used) return std::nullopt;
  rings_[0].set_used_event(rings_[0].seen());
  const auto index = static_cast<uint16_t>(used->id);
  const std::byte* buffer = memory_ + receive_buffer(index);
  HeaderBytes header;
  std::copy_n(buffer, header.size(), header.begin());
  FakePacket packet{.header = decode(header), .payload = {}};
  packet.payload.assign(reinterpret_cast<const char*>(buffer) + kHeaderSize, used->length - kHeaderSize);
  if (repost) {
    rings_[0].offer(index);
    kick(0);
  }
  return packet;
}

}  // namespace kata::vsock_device
