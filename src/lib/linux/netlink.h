// rtnetlink without a library: messages, attributes and a socket (netlink(7), rtnetlink(7)).
#pragma once

#include <cstdint>
#include <linux/netlink.h>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

// One message under construction: header, fixed part, attributes, in the order of the calls.
class NetlinkMessage {
 public:
  // `flags` are added to NLM_F_REQUEST.
  explicit NetlinkMessage(uint16_t type, uint16_t flags = 0);

  // The fixed part after the header (ifinfomsg, rtmsg, ...).
  template <typename T>
  void fixed(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    append(std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  void attribute(uint16_t type, std::string_view bytes);
  // With the terminating zero that names have.
  void text(uint16_t type, const std::string& value) {
    attribute(type, std::string_view(value.c_str(), value.size() + 1));
  }
  template <typename T>
  void number(uint16_t type, T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    attribute(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  // Everything until end(begin(type)) lies inside the attribute.
  [[nodiscard]] size_t begin(uint16_t type);
  void end(size_t begun);

  // The finished message.
  [[nodiscard]] const std::string& bytes(uint32_t sequence, uint16_t extra_flags);

 private:
  void append(std::string_view bytes);
  std::string buffer_;
};

struct NetlinkAttribute {
  uint16_t type = 0;
  std::string_view data;
};

// The attributes in `bytes`; a damaged one ends the list. The views point into `bytes`.
std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes);

// The first `size` bytes as a T; zeros where the kernel sent less (older kernels have shorter structs).
template <typename T>
T read_fixed(std::string_view bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  bytes.copy(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}
// What follows a fixed part of `size` bytes.
std::string_view after_fixed(std::string_view payload, size_t size);
// A name: up to the first zero byte.
std::string read_text(std::string_view bytes);

struct NetlinkAnswer {
  uint16_t type = 0;
  // Without the netlink header.
  std::string payload;
};

// Splits what one datagram holds; false when it is damaged. `sequence` filters; errors of the kernel come as
// messages of type NLMSG_ERROR, the end of a list as NLMSG_DONE.
bool split_datagram(std::string_view datagram, uint32_t sequence, std::vector<NetlinkAnswer>& answers,
                    bool& interrupted);

// A non-blocking route socket of the thread's namespace that becomes readable when links, addresses or routes
// change there; what it tells is best read anew.
UniqueFd open_change_monitor();
// Takes what has come, unread.
void drain_monitor(int fd);

// A route socket. It belongs to the network namespace that the thread was in when it was opened, whatever
// thread uses it later. Blocking; an answer that does not come within 5 s is kDeadlineExceeded.
class NetlinkSocket {
 public:
  NetlinkSocket();

  // Sends and waits for the acknowledgement. `tried` names the work in errors, which carry errno and the
  // kernel's own words where it has some.
  void request(NetlinkMessage message, const std::string& tried);
  // Asks for a list; starts again when the kernel says that it changed meanwhile.
  std::vector<NetlinkAnswer> dump(NetlinkMessage message, const std::string& tried);

 private:
  uint32_t send(NetlinkMessage& message, uint16_t flags, const std::string& tried);
  std::string receive(const std::string& tried);
  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace kata::kernel
