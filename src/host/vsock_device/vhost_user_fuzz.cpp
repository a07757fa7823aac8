// A front-end that sends any messages: the session answers, refuses or ends, and never leaves the memory that
// it was given. Each message comes with the descriptors that most messages want.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <tuple>

#include <unistd.h>

#include "host/vsock_device/vhost_user_session.h"

namespace kata::vsock_device {
namespace {

class Nobody : public RingObserver {
 public:
  void ring_started(RingRole, int) override {}
  void ring_stopped(RingRole, int) override {}
};

void send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  iovec piece{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 2)> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
  }
  std::ignore = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void use_rings(VhostUserSession& session) {
  for (const RingRole role : {RingRole::kReceive, RingRole::kTransmit, RingRole::kEvent}) {
    Virtqueue* ring = session.ring(role);
    if (ring == nullptr) continue;
    std::vector<iovec> pieces;
    const auto chain = ring->pop(Access::kDeviceReads, pieces);
    if (!chain)
      session.fail(role);
    else if (ring->arm_kick())
      session.call(role);
  }
}

// One message of the input: request, flags, what comes along, payload length, payload.
std::span<const uint8_t> one_message(int socket, std::span<const uint8_t> input, std::span<const int> fds) {
  std::array<std::byte, kMessageHeaderSize + 255> bytes{};
  const size_t wanted = input[3];
  const size_t length = std::min(wanted, input.size() - 4);
  const std::array<uint32_t, 3> header = {input[0], input[1], static_cast<uint32_t>(length)};
  std::memcpy(bytes.data(), header.data(), sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), input.data() + 4, length);
  const size_t first = input[2] & 1;
  const size_t count = std::min<size_t>(input[2] >> 1 & 3, fds.size() - first);
  send_message(socket, std::span(bytes).first(sizeof(header) + length), fds.subspan(first, count));
  return input.subspan(4 + length);
}

}  // namespace
}  // namespace kata::vsock_device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::vsock_device;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
  const kata::UniqueFd frontend(ends[1]);
  const kata::UniqueFd memory(::memfd_create("fuzz", MFD_CLOEXEC));
  const kata::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (::ftruncate(memory.get(), 1 << 20) != 0) std::abort();
  const std::array<int, 2> fds = {memory.get(), event.get()};
  Nobody nobody;
  VhostUserSession session(kata::UniqueFd(ends[0]), 42, nobody);
  std::span<const uint8_t> input(data, std::min<size_t>(size, 4096));
  try {
    while (input.size() >= 4) {
      input = one_message(frontend.get(), input, fds);
      if (!session.handle_message()) break;
      use_rings(session);
      std::array<char, 8192> reply;
      std::ignore = ::recv(frontend.get(), reply.data(), reply.size(), MSG_DONTWAIT);
    }
  } catch (const kata::Error&) {
  }
  return 0;
}
