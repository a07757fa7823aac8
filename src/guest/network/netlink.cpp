#include "guest/network/netlink.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/error/error.h"

namespace kata::network {
namespace {

// The kernel answers at once, unless its rtnl lock is held: then it must not hold up the agent for long.
constexpr timeval kLimit{.tv_sec = 5, .tv_usec = 0};
constexpr size_t kBuffer = 65536;

size_t aligned(size_t size) {
  return (size + 3) & ~size_t{3};
}

template <typename T>
T read_struct(std::string_view bytes) {
  T value{};
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

Request::Request(uint16_t type, uint16_t flags) {
  const nlmsghdr head{.nlmsg_len = 0,
                      .nlmsg_type = type,
                      .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                      .nlmsg_seq = 0,
                      .nlmsg_pid = 0};
  append(&head, sizeof head);
}

void Request::append(const void* data, size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.resize(aligned(bytes_.size()), '\0');
}

void Request::attribute(uint16_t type, std::string_view bytes) {
  const rtattr head{.rta_len = static_cast<uint16_t>(sizeof(rtattr) + bytes.size()), .rta_type = type};
  bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
  append(bytes.data(), bytes.size());
}

void Request::attribute_u32(uint16_t type, uint32_t value) {
  attribute(type, {reinterpret_cast<const char*>(&value), sizeof value});
}

void Request::attribute_text(uint16_t type, const std::string& text) {
  attribute(type, {text.c_str(), text.size() + 1});
}

size_t Request::begin(uint16_t type) {
  const size_t start = bytes_.size();
  attribute(type, "");
  return start;
}

void Request::end(size_t start) {
  const auto length = static_cast<uint16_t>(bytes_.size() - start);
  std::memcpy(bytes_.data() + start, &length, sizeof length);
}

std::string Request::finish(uint32_t sequence) const {
  std::string out = bytes_;
  nlmsghdr head{};
  std::memcpy(&head, out.data(), sizeof head);
  head.nlmsg_len = static_cast<uint32_t>(out.size());
  head.nlmsg_seq = sequence;
  std::memcpy(out.data(), &head, sizeof head);
  return out;
}

uint32_t Attribute::u32() const {
  return read_struct<uint32_t>(bytes);
}

std::string Attribute::text() const {
  return std::string(bytes.substr(0, bytes.find('\0')));
}

void for_each_attribute(std::string_view bytes, const std::function<void(const Attribute&)>& use) {
  while (bytes.size() >= sizeof(rtattr)) {
    const auto head = read_struct<rtattr>(bytes);
    if (head.rta_len < sizeof head || head.rta_len > bytes.size()) return;
    use({.type = static_cast<uint16_t>(head.rta_type & NLA_TYPE_MASK),
         .bytes = bytes.substr(sizeof head, head.rta_len - sizeof head)});
    bytes.remove_prefix(std::min(aligned(head.rta_len), bytes.size()));
  }
}

RouteSocket::RouteSocket() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  if (!socket_) throw_errno("opening a netlink socket");
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kLimit, sizeof kLimit) != 0)
    throw_errno("setting up a netlink socket");
}

uint32_t RouteSocket::send(const Request& request, std::string_view tried) {
  const std::string bytes = request.finish(++sequence_);
  if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) throw_errno(tried);
  return sequence_;
}

std::string RouteSocket::receive(std::string_view tried) {
  std::string buffer(kBuffer, '\0');
  ssize_t size = 0;
  do {
    size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN)
    throw Error(Code::kDeadlineExceeded, std::string(tried) + ": the kernel did not answer within 5 s");
  if (size < 0) throw_errno(tried);
  buffer.resize(static_cast<size_t>(size));
  return buffer;
}

void RouteSocket::transact(const Request& request, std::string_view tried) {
  dump(request, tried, [](std::string_view) {});
}

void RouteSocket::dump(const Request& request, std::string_view tried,
                       const std::function<void(std::string_view body)>& use) {
  const uint32_t sequence = send(request, tried);
  for (;;) {
    const std::string buffer = receive(tried);
    std::string_view rest = buffer;
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto head = read_struct<nlmsghdr>(rest);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > rest.size()) break;
      const std::string_view body = rest.substr(sizeof head, head.nlmsg_len - sizeof head);
      rest.remove_prefix(std::min(aligned(head.nlmsg_len), rest.size()));
      // An answer to an earlier request that ran out of time.
      if (head.nlmsg_seq != sequence) continue;
      if (head.nlmsg_type == NLMSG_DONE) return;
      if (head.nlmsg_type != NLMSG_ERROR) {
        use(body);
        continue;
      }
      const int error = -read_struct<nlmsgerr>(body).error;
      if (error == 0) return;
      throw Error::from_errno(error, tried);
    }
  }
}

}  // namespace kata::network
