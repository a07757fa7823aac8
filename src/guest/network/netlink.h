// rtnetlink (rtnetlink(7)): messages with attributes, requests with acknowledgement, dumps. Just what an
// agent needs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/fd/unique_fd.h"

namespace kata::network {

// A request: header, a fixed struct of the message type, attributes.
class Request {
 public:
  Request(uint16_t type, uint16_t flags);
  template <typename Header>
  void header(const Header& fixed) {
    append(&fixed, sizeof fixed);
  }
  void attribute(uint16_t type, std::string_view bytes);
  void attribute_u32(uint16_t type, uint32_t value);
  // Zero-terminated.
  void attribute_text(uint16_t type, const std::string& text);
  // Attributes added until end() lie inside it.
  size_t begin(uint16_t type);
  void end(size_t start);
  [[nodiscard]] std::string finish(uint32_t sequence) const;

 private:
  void append(const void* data, size_t size);
  std::string bytes_;
};

// One attribute of an answer.
struct Attribute {
  uint16_t type = 0;
  std::string_view bytes;
  // 0 when it is too short.
  [[nodiscard]] uint32_t u32() const;
  // Without the ending zero.
  [[nodiscard]] std::string text() const;
};

// Walks attributes; stops at the first that does not fit.
void for_each_attribute(std::string_view bytes, const std::function<void(const Attribute&)>& use);

class RouteSocket {
 public:
  RouteSocket();
  // Sends and waits for the acknowledgement. Throws Error from the kernel's errno; `tried` like "adding route
  // x".
  void transact(const Request& request, std::string_view tried);
  // `use` gets the body of each answer (after the netlink header).
  void dump(const Request& request, std::string_view tried,
            const std::function<void(std::string_view body)>& use);

 private:
  uint32_t send(const Request& request, std::string_view tried);
  std::string receive(std::string_view tried);

  UniqueFd socket_;
  uint32_t sequence_ = 0;
};

}  // namespace kata::network
