// A container's root file system put together on the node from the snapshotter's mounts, to be shared with
// the guest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/async/awaitable.h"

namespace kata::rootfs {

// One mount in the words of mount(8), as containerd hands it over.
struct MountRequest {
  std::string type;
  std::string source;
  std::string target;
  std::vector<std::string> options;
};

// Mounts of this process's own mount namespace, given back by release() and, with the namespace, by the end
// of the last process in it.
class MountedRootfs {
 public:
  // Mounts the list, in its order, on `target` (a folder; made if it is missing). An empty list means that
  // somebody has mounted the root file system there already: then it must exist. A failing mount names its
  // source and undoes those before it.
  static Awaitable<std::unique_ptr<MountedRootfs>> prepare(std::vector<MountRequest> mounts,
                                                           std::string target);

  // Folder on the node.
  [[nodiscard]] const std::string& path() const { return path_; }
  // False when somebody else has mounted it.
  [[nodiscard]] bool is_ours() const { return mounted_ > 0; }
  // Unmounts what prepare() mounted. Idempotent.
  Awaitable<> release();

 private:
  explicit MountedRootfs(std::string path) : path_(std::move(path)) {}

  std::string path_;
  // How many mounts lie on the folder, one over the other.
  size_t mounted_ = 0;
};

}  // namespace kata::rootfs
