#include "guest/sandbox/shared_namespaces.h"

#include <exception>
#include <sys/mount.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "guest/sandbox/folders.h"
#include "guest/sandbox/paths.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

// This thread in uts and ipc namespaces of its own, for the life of the object. A child process would do as
// well and costs a start several times as much.
class NewNamespaces {
 public:
  NewNamespaces()
      : uts_(open_file("/proc/thread-self/ns/uts", O_RDONLY)),
        ipc_(open_file("/proc/thread-self/ns/ipc", O_RDONLY)) {
    if (::unshare(CLONE_NEWUTS | CLONE_NEWIPC) != 0) throw_errno("making uts and ipc namespaces");
  }
  ~NewNamespaces() {
    // Without the way back the agent itself would be the pod's: better none at all.
    if (::setns(uts_.get(), CLONE_NEWUTS) != 0 || ::setns(ipc_.get(), CLONE_NEWIPC) != 0) std::terminate();
  }
  NewNamespaces(const NewNamespaces&) = delete;
  NewNamespaces& operator=(const NewNamespaces&) = delete;

  static void keep(const char* kind, const std::string& path) {
    kernel::bind_mount(std::string("/proc/thread-self/ns/") + kind, path, kernel::BindDepth::kOne);
  }

 private:
  UniqueFd uts_, ipc_;
};

}  // namespace

SharedNamespaces create_shared_namespaces(const std::string& hostname) {
  make_folders(kNamespaceFolder);
  const SharedNamespaces paths{.uts = std::string(kNamespaceFolder) + "/uts",
                               .ipc = std::string(kNamespaceFolder) + "/ipc"};
  for (const std::string& path : {paths.uts, paths.ipc}) {
    kernel::unmount_detach(path);
    open_file(path, O_CREAT | O_RDONLY, 0444);
  }
  const NewNamespaces made;
  if (!hostname.empty() && ::sethostname(hostname.data(), hostname.size()) != 0)
    throw_errno("setting the hostname " + hostname);
  NewNamespaces::keep("uts", paths.uts);
  NewNamespaces::keep("ipc", paths.ipc);
  return paths;
}

void release_shared_namespaces(const SharedNamespaces& namespaces) {
  for (const std::string& path : {namespaces.uts, namespaces.ipc}) {
    if (path.empty()) continue;
    try {
      kernel::unmount_detach(path);
    } catch (const Error& error) {
      log::warning("namespace not released", {{"error", error.message()}});
    }
    ::unlink(path.c_str());
  }
}

}  // namespace kata::sandbox
