#include "guest/sandbox/shared_namespaces.h"

#include <sys/mount.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "guest/sandbox/folders.h"
#include "guest/sandbox/paths.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

constexpr std::chrono::seconds kLimit{10};

void keep(const char* kind, const std::string& path) {
  kernel::bind_mount(std::string("/proc/self/ns/") + kind, path, kernel::BindDepth::kOne);
}

}  // namespace

Awaitable<SharedNamespaces> create_shared_namespaces(std::string hostname) {
  make_folders(kNamespaceFolder);
  const SharedNamespaces paths{.uts = std::string(kNamespaceFolder) + "/uts",
                               .ipc = std::string(kNamespaceFolder) + "/ipc"};
  for (const std::string& path : {paths.uts, paths.ipc}) {
    kernel::unmount_detach(path);
    open_file(path, O_CREAT | O_RDONLY, 0444);
  }
  auto body = [&] {
    if (::unshare(CLONE_NEWUTS | CLONE_NEWIPC) != 0) throw_errno("making uts and ipc namespaces");
    if (!hostname.empty() && ::sethostname(hostname.data(), hostname.size()) != 0)
      throw_errno("setting the hostname " + hostname);
    keep("uts", paths.uts);
    keep("ipc", paths.ipc);
  };
  co_await run_in_child(std::move(body), kLimit, "shared namespaces");
  co_return paths;
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
