// Network namespaces by path.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

namespace kata::network {

// Tells a namespace from a later one at the same path.
struct NetnsId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const NetnsId&) const = default;
};

// Throws when there is nothing at the path.
NetnsId netns_id(const std::string& path);
// The namespace that this process is in.
NetnsId own_netns_id();

// Moves the calling thread into the namespace at `path`. With `expected`, returns false when it is gone: no
// such path, no namespace there any more, or another one. Other failures throw.
bool enter_netns(const std::string& path, const std::optional<NetnsId>& expected);

}  // namespace kata::network
