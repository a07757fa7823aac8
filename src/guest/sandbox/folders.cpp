#include "guest/sandbox/folders.h"

#include <cerrno>
#include <sys/stat.h>

#include <ftw.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

constexpr int kOpenFolders = 16;

int remove_entry(const char* path, const struct stat*, int type, FTW*) {
  const int rc = type == FTW_DP || type == FTW_D || type == FTW_DNR ? ::rmdir(path) : ::unlink(path);
  if (rc != 0 && errno != ENOENT) log::warning("file not removed", {{"path", path}});
  return 0;
}

}  // namespace

void make_folders(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) throw_errno("making the folder " + part);
    if (at == std::string::npos) return;
  }
}

void remove_tree(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 && errno == ENOENT) return;
  try {
    for (const std::string& mount : kernel::mounts_below(path)) kernel::unmount_detach(mount);
  } catch (const Error& error) {
    // With a mount left the walk below stays on this side of it.
    log::warning("mounts not removed", {{"path", path}, {"error", error.message()}});
  }
  ::nftw(path.c_str(), remove_entry, kOpenFolders, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

}  // namespace kata::sandbox
