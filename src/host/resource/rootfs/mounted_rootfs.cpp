#include "host/resource/rootfs/mounted_rootfs.h"

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include <unistd.h>

#include "host/resource/rootfs/overlay_data.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace kata::rootfs {
namespace {

// Mounting and unmounting can hang in the kernel behind a dead server: a child process does it and can be
// given up.
constexpr Duration kMountLimit = std::chrono::seconds(10);

void check_folder(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0)
    throw Error::from_errno(errno, "looking for the root file system " + path);
  if (!S_ISDIR(info.st_mode))
    throw Error(Code::kInvalidArgument, "root file system " + path + " is not a folder");
}

// In a child process: it may change the working folder, so targets must be absolute.
void mount_one(const MountRequest& request, const std::string& base) {
  const std::string target = request.target.empty() ? base : base + "/" + request.target;
  kernel::MountOptions options = kernel::parse_mount_options(request.options);
  if (request.type == "overlay") {
    OverlayData overlay = fit_overlay_data(options.data);
    if (!overlay.folder.empty() && ::chdir(overlay.folder.c_str()) != 0)
      throw_errno("entering " + overlay.folder);
    options.data = std::move(overlay.data);
  }
  kernel::mount(request.source, target, request.type, options.flags, options.data);
}

void mount_all(const std::vector<MountRequest>& mounts, const std::string& target) {
  size_t done = 0;
  try {
    for (const MountRequest& request : mounts) {
      with_context("root file system from " + request.source, [&] { mount_one(request, target); });
      ++done;
    }
  } catch (...) {
    for (; done > 0; --done) kernel::unmount_detach(target);
    throw;
  }
}

}  // namespace

Awaitable<std::unique_ptr<MountedRootfs>> MountedRootfs::prepare(std::vector<MountRequest> mounts,
                                                                 std::string target) {
  std::unique_ptr<MountedRootfs> rootfs(new MountedRootfs(std::move(target)));
  if (mounts.empty()) {
    check_folder(rootfs->path_);
    co_return rootfs;
  }
  if (::mkdir(rootfs->path_.c_str(), 0711) != 0 && errno != EEXIST) throw_errno("making " + rootfs->path_);
  auto mount = [&mounts, &path = rootfs->path_] { mount_all(mounts, path); };
  co_await run_in_child(mount, kMountLimit, "mounting the root file system on " + rootfs->path_);
  rootfs->mounted_ = mounts.size();
  co_return rootfs;
}

Awaitable<> MountedRootfs::release() {
  const size_t count = std::exchange(mounted_, 0);
  if (count == 0) co_return;
  auto unmount = [count, path = path_] {
    for (size_t i = 0; i < count; ++i) kernel::unmount_detach(path);
  };
  co_await run_in_child(unmount, kMountLimit, "unmounting " + path_);
}

}  // namespace kata::rootfs
