#include "host/resource/cgroup/node_files.h"

#include <cerrno>
#include <cstdlib>
#include <sys/stat.h>

#include <dirent.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/controllers.h"
#include "lib/log/log.h"

namespace kata::node_cgroup {
namespace {

class KernelFiles final : public NodeFiles {
 public:
  [[nodiscard]] bool exists(const std::string& path) const override {
    return ::access(path.c_str(), F_OK) == 0;
  }

  bool make_folder(const std::string& path) override {
    if (::mkdir(path.c_str(), 0755) == 0) return true;
    if (errno == EEXIST) return false;
    throw_errno("making cgroup " + path);
  }

  void remove_folder(const std::string& path) override {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return;
    throw_errno("removing cgroup " + path);
  }

  void write(const std::string& path, const std::string& value) override { write_existing(path, value); }

  [[nodiscard]] std::optional<std::string> read(const std::string& path) const override {
    try {
      return read_file(path, size_t{1} << 20);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  void delegate(const std::string& folder) override {
    // Another manager's busy folder: a limit that needs the controller says so.
    const auto refused = [&folder](std::string_view controller, const Error& error) {
      log::debug("cgroup controller not enabled",
                 {{"folder", folder}, {"controller", std::string(controller)}, {"error", error.message()}});
    };
    try {
      ::kata::kernel::delegate_controllers(folder, refused);
    } catch (const Error& error) {
      log::debug("cgroup controllers not enabled", {{"folder", folder}, {"error", error.message()}});
    }
  }

  [[nodiscard]] std::vector<pid_t> own_threads() const override {
    std::vector<pid_t> threads{::gettid()};
    const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir("/proc/self/task"), ::closedir);
    if (!tasks) return threads;
    while (const dirent* const entry = ::readdir(tasks.get())) {
      const pid_t tid = std::atoi(entry->d_name);
      if (tid > 0 && tid != threads.front()) threads.push_back(tid);
    }
    return threads;
  }
};

}  // namespace

std::shared_ptr<NodeFiles> NodeFiles::kernel() {
  return std::make_shared<KernelFiles>();
}

}  // namespace kata::node_cgroup
