// What a file or folder of the node looks like at one moment: names, owners, modes, times; no content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace kata::file_copy {

// Of one mount. A copy lies in the guest's memory.
struct CopyLimits {
  // Files, folders and links.
  size_t entries = 20000;
  // Of the files in all.
  uint64_t bytes = uint64_t{128} << 20;
};

struct Entry {
  // Type and permissions: a regular file, a folder or a symbolic link.
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
  dev_t device = 0;
  ino_t inode = 0;
  // Content and inode, in nanoseconds since 1970.
  int64_t modified = 0, changed = 0;
  // Target of a link.
  std::string link;
  bool operator==(const Entry&) const = default;
};

struct Snapshot {
  // By path relative to the source; the source itself is "". Parents come before what is in them.
  std::map<std::string, Entry> entries;
  // Of the folders among them, for a watcher.
  std::vector<std::string> folders;
  // Relative paths of what cannot be copied: sockets, devices, pipes.
  std::vector<std::string> special;
};

// Looks at `source`; a link at its place is followed, none below it is. What vanishes meanwhile is left out.
// kNotFound without a source, kResourceExhausted beyond the limits (which one, and what to use instead). May
// hang in the kernel like any look at a file system.
Snapshot take_snapshot(const std::string& source, const CopyLimits& limits);

}  // namespace kata::file_copy
