// IP and hardware addresses as text and as bytes.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "lib/error/error.h"

namespace kata::network {

struct Ip {
  // AF_INET or AF_INET6.
  int family = 0;
  // 4 or 16 bytes, network order.
  std::string bytes;
  // The prefix that covers the whole address.
  [[nodiscard]] uint8_t full_prefix() const { return static_cast<uint8_t>(bytes.size() * 8); }
};

struct Prefix {
  Ip address;
  uint8_t length = 0;
};

// kInvalidArgument names `field`.
std::expected<Ip, Error> parse_ip(const std::string& text, std::string_view field);
// "a.b.c.d/len"; without a length the whole address.
std::expected<Prefix, Error> parse_prefix(const std::string& text, std::string_view field);
std::string ip_text(int family, std::string_view bytes);

// "02:00:00:00:00:01" to six bytes.
std::expected<std::string, Error> parse_mac(const std::string& text, std::string_view field);
std::string mac_text(std::string_view bytes);

}  // namespace kata::network
