// Paths inside a root file system that nobody vouches for: symbolic links in it never lead out of it.
#pragma once

#include <string>
#include <string_view>

#include "lib/fd/unique_fd.h"

namespace kata::container {

// Paths are looked up as if `root` were "/" (openat2(2), RESOLVE_IN_ROOT).
class RootedPath {
 public:
  // `root` is a directory's descriptor, kept by the caller.
  explicit RootedPath(int root) : root_(root) {}

  // Opens with `flags` (| O_CLOEXEC). Throws Error naming the path.
  [[nodiscard]] UniqueFd open(const std::string& path, int flags) const;
  // As open, but an empty descriptor where nothing is (ENOENT, ENOTDIR).
  [[nodiscard]] UniqueFd open_if_there(const std::string& path, int flags) const;

  enum class Leaf { kDirectory, kFile };
  // O_PATH descriptor of `path`; what is missing of it is made (directories 0755; as the last part a
  // directory or an empty file). A dangling link is followed and its target made, inside the root.
  [[nodiscard]] UniqueFd ensure(const std::string& path, Leaf leaf) const;
  // O_PATH descriptor of the directory that `path` lies in (made if missing), and the last part's name.
  struct Place {
    UniqueFd directory;
    std::string name;
  };
  [[nodiscard]] Place ensure_parent(const std::string& path) const;

 private:
  int root_;
};

// "/proc/self/fd/<fd>", for calls that want a path.
std::string fd_path(int fd);

}  // namespace kata::container
