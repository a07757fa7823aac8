// The uts and ipc namespaces that all containers of the sandbox share, kept alive by bind mounts.
#pragma once

#include <string>

#include "lib/async/awaitable.h"

namespace kata::sandbox {

struct SharedNamespaces {
  // Paths to join; empty = not made.
  std::string uts, ipc;
};

// Makes both, visiting them with the calling thread, and sets the hostname in the new one (empty = left as it
// is).
SharedNamespaces create_shared_namespaces(const std::string& hostname);
// Unmounts and removes them; best effort.
void release_shared_namespaces(const SharedNamespaces& namespaces);

}  // namespace kata::sandbox
