// Control groups of containers: v2 (the guest's default) and v1, whichever is mounted.
//
// Sources: the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/*, cgroups(7); values are converted the way
// the OCI specification and runc do it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "guest/cgroup/stats.h"
#include "lib/async/awaitable.h"
#include "lib/fd/unique_fd.h"
#include "lib/linux/cgroup_layout.h"
#include "lib/oci/spec.h"

namespace kata::cgroup {

using Version = kernel::CgroupVersion;
using Hierarchy = kernel::CgroupLayout;

// See kernel::cgroup_path().
inline std::string path_of(std::string_view cgroups_path, std::string_view id) {
  return kernel::cgroup_path(cgroups_path, id);
}

// What removal, freezing and killing wait for at most.
constexpr auto kRemoveLimit = std::chrono::seconds(5);

class Cgroup {
 public:
  // Makes the cgroup (all its folders; controllers enabled down to it in v2). A folder that exists already is
  // used, unless processes are in it: kAlreadyExists. Owns what it made: the destructor tries to remove it.
  static std::unique_ptr<Cgroup> create(const asio::any_io_executor& executor, const Hierarchy& hierarchy,
                                        const std::string& path);
  virtual ~Cgroup() = default;

  // Applies what is present in `resources`; absent values stay. kInvalidArgument names the field. Device
  // rules replace the earlier ones when there are any.
  virtual void apply(const oci::Resources& resources) = 0;
  // Directory to start a process in (CLONE_INTO_CGROUP); -1 in v1.
  [[nodiscard]] virtual int directory() const = 0;
  // v1: the files into which a new single-threaded process writes "0" to enter.
  [[nodiscard]] virtual std::vector<std::string> entry_files() const = 0;
  // Folder of each controller ("" in v2), for the mounts of a container that wants to see its cgroups.
  [[nodiscard]] virtual std::map<std::string, std::string> folders() const = 0;
  [[nodiscard]] virtual std::vector<pid_t> processes() const = 0;
  // Sends `signal` to every process, including those of cgroups below; SIGKILL reaches also what forks
  // meanwhile.
  virtual Awaitable<> signal_all(int signal) = 0;
  virtual Awaitable<> freeze() = 0;
  virtual Awaitable<> thaw() = 0;
  [[nodiscard]] virtual Stats stats() const = 0;
  // Returns when there is an OOM kill in this cgroup that has not been told of yet, or throws when cancelled.
  virtual Awaitable<> wait_oom() = 0;
  // Whether there is one, at once; it counts as told of then.
  bool take_oom_kill();
  // Kills what is left and removes the folders. Idempotent.
  virtual Awaitable<> remove() = 0;

 private:
  [[nodiscard]] virtual uint64_t oom_kills() const = 0;

  uint64_t told_oom_kills_ = 0;
};

}  // namespace kata::cgroup
