#include "guest/network/ip.h"

#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstdio>
#include <sys/socket.h>

namespace kata::network {
namespace {

Error bad(std::string_view field, const std::string& text, const char* expected) {
  return Error(Code::kInvalidArgument,
               std::string(field) + " \"" + text.substr(0, 100) + "\": expected " + expected);
}

}  // namespace

std::expected<Ip, Error> parse_ip(const std::string& text, std::string_view field) {
  std::array<char, 16> bytes;
  const int family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (text.find('\0') != std::string::npos || ::inet_pton(family, text.c_str(), bytes.data()) != 1)
    return std::unexpected(bad(field, text, "an IPv4 or IPv6 address"));
  return Ip{.family = family, .bytes = std::string(bytes.data(), family == AF_INET ? 4 : 16)};
}

std::expected<Prefix, Error> parse_prefix(const std::string& text, std::string_view field) {
  const size_t slash = text.find('/');
  auto address = parse_ip(text.substr(0, slash), field);
  if (!address) return std::unexpected(address.error());
  Prefix prefix{.address = std::move(*address), .length = 0};
  prefix.length = prefix.address.full_prefix();
  if (slash == std::string::npos) return prefix;
  unsigned length = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, length);
  if (error != std::errc{} || stop != end || length > prefix.length)
    return std::unexpected(bad(field, text, "an address and a prefix length"));
  prefix.length = static_cast<uint8_t>(length);
  return prefix;
}

std::string ip_text(int family, std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text;
  if (bytes.size() < (family == AF_INET ? 4U : 16U)) return {};
  if (::inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::expected<std::string, Error> parse_mac(const std::string& text, std::string_view field) {
  std::string bytes;
  size_t at = 0;
  while (at + 2 <= text.size()) {
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + at + 2, value, 16);
    if (error != std::errc{} || stop != text.data() + at + 2) break;
    bytes.push_back(static_cast<char>(value));
    at += 2;
    if (at == text.size()) {
      if (bytes.size() == 6) return bytes;
      break;
    }
    if (text[at] != ':') break;
    ++at;
  }
  return std::unexpected(bad(field, text, "a hardware address like 02:00:00:00:00:01"));
}

std::string mac_text(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes.substr(0, 6)) {
    std::array<char, 4> part;
    std::snprintf(part.data(), part.size(), "%02x", static_cast<unsigned char>(byte));
    if (!text.empty()) text += ":";
    text += part.data();
  }
  return text;
}

}  // namespace kata::network
