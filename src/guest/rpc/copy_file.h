// CopyFile: files of the host that reach the guest without a shared file system.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace kata::rpc {

struct CopyRequest {
  // Absolute, below `root`.
  std::string path;
  int64_t file_size = 0;
  // Type and permissions.
  uint32_t file_mode = 0;
  uint32_t directory_mode = 0;
  int32_t uid = 0, gid = 0;
  int64_t offset = 0;
  // Content of a chunk, or the target of a symbolic link; the caller's.
  std::string_view data;
};

// Writes one chunk, folder or link below `root`. No part of the path may lead out of it, through links
// neither. A file grows under a temporary name and appears when its last byte is there; until then an older
// one of its name stays. kInvalidArgument names the field.
void copy_file(const std::string& root, const CopyRequest& request);

// Writes one chunk into a regular file that is there, under its inode; type and folder modes are not used.
// With the last chunk it has its size, owner and permissions. kNotFound when there is no such file.
void rewrite_file(const std::string& root, const CopyRequest& request);

// Removes the path with all that is in it; mounts below it are not entered. Not there is success.
void remove_copied(const std::string& root, const std::string& path);

}  // namespace kata::rpc
