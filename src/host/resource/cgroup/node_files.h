// The seam to the kernel's control group files.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace kata::node_cgroup {

// Paths are absolute. Failures throw Error with errno, naming the file.
class NodeFiles {
 public:
  virtual ~NodeFiles() = default;
  [[nodiscard]] virtual bool exists(const std::string& path) const = 0;
  // Returns whether it was made; there already = false.
  virtual bool make_folder(const std::string& path) = 0;
  // Not there is success; busy (processes or folders in it) throws with EBUSY.
  virtual void remove_folder(const std::string& path) = 0;
  // Into a file that is there.
  virtual void write(const std::string& path, const std::string& value) = 0;
  // Nothing where it is not there or cannot be read.
  [[nodiscard]] virtual std::optional<std::string> read(const std::string& path) const = 0;
  // Hands the controllers of a v2 cgroup down to its children (kernel::delegate_controllers).
  virtual void delegate(const std::string& folder) = 0;
  // The threads of this process, the calling one first.
  [[nodiscard]] virtual std::vector<pid_t> own_threads() const = 0;

  // The node's own.
  static std::shared_ptr<NodeFiles> kernel();
};

}  // namespace kata::node_cgroup
