#include "lib/linux/netlink.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/error/error.h"

namespace kata::kernel {
namespace {

constexpr size_t kHeader = sizeof(nlmsghdr);
constexpr size_t kAttributeHeader = sizeof(nlattr);
constexpr time_t kAnswerLimit = 5;
constexpr int kListTries = 5;
// More than any list of a pod; a bound all the same.
constexpr size_t kMaxList = 100'000;

constexpr size_t aligned(size_t size) {
  return (size + 3) & ~size_t{3};
}

// The text behind an NLMSG_ERROR, if the kernel gives one (NETLINK_EXT_ACK).
std::string kernel_words(std::string_view payload, bool capped) {
  const auto error = read_fixed<nlmsgerr>(payload);
  size_t skip = sizeof(nlmsgerr);
  if (!capped && error.msg.nlmsg_len > kHeader) skip += aligned(error.msg.nlmsg_len - kHeader);
  if (skip >= payload.size()) return {};
  for (const NetlinkAttribute& attribute : parse_attributes(payload.substr(skip))) {
    if (attribute.type == NLMSGERR_ATTR_MSG) return read_text(attribute.data);
  }
  return {};
}

// Throws for an error answer; an acknowledgement passes.
void check_error(std::string_view payload, const std::string& tried) {
  const int code = read_fixed<int>(payload);
  if (code == 0) return;
  const std::string words = kernel_words(payload, true);
  throw Error::from_errno(-code, words.empty() ? tried : tried + " (" + words + ")");
}

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  fixed(header);
}

void NetlinkMessage::append(std::string_view bytes) {
  buffer_.append(bytes);
  buffer_.resize(aligned(buffer_.size()));
}

void NetlinkMessage::attribute(uint16_t type, std::string_view bytes) {
  const nlattr header{.nla_len = static_cast<uint16_t>(kAttributeHeader + bytes.size()), .nla_type = type};
  fixed(header);
  append(bytes);
}

size_t NetlinkMessage::begin(uint16_t type) {
  const size_t at = buffer_.size();
  attribute(type, {});
  return at;
}

void NetlinkMessage::end(size_t begun) {
  const auto length = static_cast<uint16_t>(buffer_.size() - begun);
  std::memcpy(buffer_.data() + begun, &length, sizeof length);
}

const std::string& NetlinkMessage::bytes(uint32_t sequence, uint16_t extra_flags) {
  auto header = read_fixed<nlmsghdr>(buffer_);
  header.nlmsg_len = static_cast<uint32_t>(buffer_.size());
  header.nlmsg_seq = sequence;
  header.nlmsg_flags |= extra_flags;
  std::memcpy(buffer_.data(), &header, sizeof header);
  return buffer_;
}

std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes) {
  std::vector<NetlinkAttribute> attributes;
  while (bytes.size() >= kAttributeHeader) {
    const auto header = read_fixed<nlattr>(bytes);
    if (header.nla_len < kAttributeHeader || header.nla_len > bytes.size()) break;
    attributes.push_back({.type = static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                          .data = bytes.substr(kAttributeHeader, header.nla_len - kAttributeHeader)});
    bytes.remove_prefix(std::min(aligned(header.nla_len), bytes.size()));
  }
  return attributes;
}

std::string_view after_fixed(std::string_view payload, size_t size) {
  return payload.substr(std::min(aligned(size), payload.size()));
}

std::string read_text(std::string_view bytes) {
  return std::string(bytes.substr(0, bytes.find('\0')));
}

bool split_datagram(std::string_view datagram, uint32_t sequence, std::vector<NetlinkAnswer>& answers,
                    bool& interrupted) {
  while (datagram.size() >= kHeader) {
    const auto header = read_fixed<nlmsghdr>(datagram);
    if (header.nlmsg_len < kHeader || header.nlmsg_len > datagram.size()) return false;
    if (header.nlmsg_seq == sequence) {
      if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      answers.push_back({.type = header.nlmsg_type,
                         .payload = std::string(datagram.substr(kHeader, header.nlmsg_len - kHeader))});
    }
    datagram.remove_prefix(std::min(aligned(header.nlmsg_len), datagram.size()));
  }
  return datagram.empty();
}

NetlinkSocket::NetlinkSocket() : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  if (!fd_) throw_errno("opening a route socket");
  const timeval limit{.tv_sec = kAnswerLimit, .tv_usec = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  // Both only make errors clearer: kernels without them are fine.
  const int on = 1;
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("binding a route socket");
}

UniqueFd open_change_monitor() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) throw_errno("opening a route socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("listening for changes of the network");
  return fd;
}

void drain_monitor(int fd) {
  std::array<char, 4096> buffer;
  // ENOBUFS: more came than the socket holds, so it changed.
  while (::recv(fd, buffer.data(), buffer.size(), 0) >= 0 || errno == ENOBUFS || errno == EINTR) {
  }
}

uint32_t NetlinkSocket::send(NetlinkMessage& message, uint16_t flags, const std::string& tried) {
  const std::string& bytes = message.bytes(++sequence_, flags);
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_errno(tried);
  return sequence_;
}

std::string NetlinkSocket::receive(const std::string& tried) {
  // The kernel's dumps come in pieces of at most 32 KiB.
  std::string buffer(size_t{64} << 10, '\0');
  for (;;) {
    const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (size >= 0) {
      buffer.resize(static_cast<size_t>(size));
      return buffer;
    }
    if (errno == EAGAIN)
      throw Error(Code::kDeadlineExceeded, tried + ": the kernel has not answered within 5 s");
    if (errno != EINTR) throw_errno(tried);
  }
}

void NetlinkSocket::request(NetlinkMessage message, const std::string& tried) {
  const uint32_t sequence = send(message, NLM_F_ACK, tried);
  for (;;) {
    std::vector<NetlinkAnswer> answers;
    bool interrupted = false;
    if (!split_datagram(receive(tried), sequence, answers, interrupted))
      throw Error(Code::kInternal, tried + ": damaged answer of the kernel");
    for (const NetlinkAnswer& answer : answers) {
      if (answer.type != NLMSG_ERROR) continue;
      check_error(answer.payload, tried);
      return;
    }
  }
}

std::vector<NetlinkAnswer> NetlinkSocket::dump(NetlinkMessage message, const std::string& tried) {
  for (int i = 0; i < kListTries; ++i) {
    const uint32_t sequence = send(message, NLM_F_DUMP, tried);
    std::vector<NetlinkAnswer> list;
    bool interrupted = false, done = false;
    while (!done) {
      std::vector<NetlinkAnswer> answers;
      if (!split_datagram(receive(tried), sequence, answers, interrupted))
        throw Error(Code::kInternal, tried + ": damaged answer of the kernel");
      for (NetlinkAnswer& answer : answers) {
        if (answer.type == NLMSG_ERROR) check_error(answer.payload, tried);
        done = done || answer.type == NLMSG_DONE;
        if (answer.type >= NLMSG_MIN_TYPE) list.push_back(std::move(answer));
      }
      if (list.size() > kMaxList) throw Error(Code::kResourceExhausted, tried + ": the list has no end");
    }
    if (!interrupted) return list;
  }
  throw Error(Code::kUnavailable, tried + ": the list changed each of five times it was read");
}

}  // namespace kata::kernel
