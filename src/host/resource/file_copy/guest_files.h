// The door to the guest's copies.
#pragma once

#include <string>
#include <vector>

#include "host/agent/messages.h"
#include "lib/async/awaitable.h"

namespace kata::file_copy {

// Paths are the guest's. Errors name them.
class GuestFiles {
 public:
  virtual ~GuestFiles() = default;

  // A chunk of a file, a folder or a link; a folder that is there gets mode and owner, anything else of that
  // name is replaced.
  virtual Awaitable<> put(agent::FileChunk chunk) = 0;
  // A chunk of a file that is there, which keeps its inode. False when this guest cannot.
  virtual Awaitable<bool> rewrite(agent::FileChunk chunk) = 0;
  // With all that is in them; not there is success. False when this guest cannot.
  virtual Awaitable<bool> remove(std::vector<std::string> paths) = 0;
};

}  // namespace kata::file_copy
