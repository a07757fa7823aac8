// What both versions share: the folders made, killing by pid, removal.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "guest/cgroup/cgroup.h"
#include "guest/cgroup/files.h"

namespace kata::cgroup {

// Folders that this program made, so that removal gives back exactly those.
class OwnedFolders {
 public:
  // Makes `path` below `mount` with all parents. A leaf with processes in it: kAlreadyExists.
  void make(const std::string& mount, const std::string& path);
  // Makes one parent folder where it is missing.
  void make_parent(const std::string& mount, const std::string& path);
  // One attempt, deepest first; true when all are gone. Parents that others use are left.
  bool try_remove();
  [[nodiscard]] bool empty() const { return leaves_.empty(); }

 private:
  std::vector<std::string> leaves_;
  // Parents that were missing, in the order of making.
  std::vector<std::string> parents_;
};

// Waits until none of `pids` runs any more, at most until `deadline`.
Awaitable<> wait_for_exit(const std::vector<pid_t>& pids, TimePoint deadline);
// Sends a signal to each by pidfd; those that are gone are skipped.
void signal_each(const std::vector<pid_t>& pids, int signal);

std::unique_ptr<Cgroup> make_v1(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                const std::string& path);
std::unique_ptr<Cgroup> make_v2(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                const std::string& path);

}  // namespace kata::cgroup
