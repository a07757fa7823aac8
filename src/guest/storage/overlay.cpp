#include <sys/mount.h>
#include <sys/stat.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace kata::storage {
namespace {

constexpr std::string_view kReadWrite = "io.katacontainers.fs-opt.overlay-rw";
constexpr std::string_view kCreateDirectory = "io.katacontainers.volume.overlayfs.create_directory";

}  // namespace

Awaitable<> attach_overlay(const Storage& storage, const Context& context, Attached& made) {
  for (const std::string& option : storage.driver_options) {
    if (const auto directory = option_value({option}, kCreateDirectory)) make_directories(*directory, made);
  }
  std::vector<std::string> options = without_option(storage.options, kReadWrite);
  if (options.size() != storage.options.size()) {
    if (context.container_id.empty())
      throw Error(Code::kInvalidArgument,
                  "storage option " + std::string(kReadWrite) + ": only for containers");
    // In a mount of its own: with it goes what was written.
    const std::string base = "/run/kata-containers/" + context.container_id + "/overlay-rw";
    make_directories(base, made);
    kernel::mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    made.mounts.push_back(base);
    for (const char* name : {"/fs", "/work"}) {
      if (::mkdir((base + name).c_str(), 0755) != 0) throw_errno("making " + base + name);
    }
    options.push_back("upperdir=" + base + "/fs");
    options.push_back("workdir=" + base + "/work");
  }
  make_directories(storage.mount_point, made);
  co_await mount_storage(storage, storage.source, options, made);
}

}  // namespace kata::storage
