// What a device node is to the kernel.
#pragma once

#include <cstdint>
#include <string>

struct stat;

namespace kata::device {

struct NodeNumbers {
  // "b" or "c", as the OCI spec says it.
  std::string type;
  int64_t major = 0, minor = 0;
};

NodeNumbers numbers_of(const struct stat& info);
// Throws Error when the node cannot be looked at.
NodeNumbers numbers_of_node(const std::string& node);

}  // namespace kata::device
