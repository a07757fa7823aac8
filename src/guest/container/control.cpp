#include "guest/container/control.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>

namespace kata::container {
namespace {

union DescriptorBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

UniqueFd descriptor_of(msghdr& message) {
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace

void send_packet(int fd, Message kind, std::string_view body, int descriptor) {
  char type = static_cast<char>(kind);
  const std::string_view text = body.substr(0, kMaxPacket - 1);
  std::array<iovec, 2> parts = {iovec{&type, 1}, iovec{const_cast<char*>(text.data()), text.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  DescriptorBuffer control{};
  if (descriptor >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  }
  ssize_t n = 0;
  do {
    n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) throw_errno("talking to the init stage");
}

std::optional<Packet> receive_packet(int fd) {
  std::array<char, kMaxPacket> buffer;
  iovec part{buffer.data(), buffer.size()};
  DescriptorBuffer control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do {
    n = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == ECONNRESET) return std::nullopt;
  if (n < 0) throw_errno("listening to the init stage");
  if (n == 0) return std::nullopt;
  return Packet{.kind = static_cast<Message>(buffer[0]),
                .body = std::string(buffer.data() + 1, static_cast<size_t>(n) - 1),
                .descriptor = descriptor_of(message)};
}

// "<code> <message>": the errno is in the message's text already.
std::string encode_error(const Error& error) {
  return std::to_string(static_cast<int>(error.code())) + " " + error.message();
}

Error decode_error(std::string_view body) {
  const size_t space = body.find(' ');
  int code = 0;
  for (const char digit : body.substr(0, space)) {
    if (digit < '0' || digit > '9' || code > 99) return {Code::kInternal, std::string(body)};
    code = code * 10 + (digit - '0');
  }
  if (space == std::string_view::npos || code < 1 || code > 16) return {Code::kInternal, std::string(body)};
  return {static_cast<Code>(code), std::string(body.substr(space + 1))};
}

}  // namespace kata::container
