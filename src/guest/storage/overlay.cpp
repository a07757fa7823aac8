#include <algorithm>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"

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
    const std::string base = "/run/kata-containers/" + context.container_id;
    make_directories(base + "/fs", made);
    make_directories(base + "/work", made);
    options.push_back("upperdir=" + base + "/fs");
    options.push_back("workdir=" + base + "/work");
  }
  make_directories(storage.mount_point, made);
  co_await mount_storage(storage, storage.source, options, made);
}

}  // namespace kata::storage
