// image_guest_pull: the root file system of an image that the guest fetches itself (agent-api, section 4).
#include <sys/stat.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"

namespace kata::storage {
namespace {

// What the runtime calls the image of a pod's own container, which comes with the guest.
constexpr std::string_view kPause = "pause";
constexpr const char* kPauseRoot = "/pause_bundle/rootfs";
constexpr std::string_view kOption = "image_guest_pull";

}  // namespace

Awaitable<> attach_guest_pull(const Storage& storage, const Context& context, Attached& made) {
  const std::string what = "storage driver image_guest_pull: ";
  if (context.container_id.empty())
    throw Error(Code::kInvalidArgument, what + "an image is one container's, not the sandbox's");
  if (storage.source.empty()) throw Error(Code::kInvalidArgument, what + "source names no image");
  if (!option_value(storage.driver_options, kOption))
    throw Error(Code::kInvalidArgument, what + "driver_options have no image_guest_pull=");
  const std::string bundle = "/run/kata-containers/" + context.container_id;
  if (storage.mount_point != bundle + "/rootfs")
    throw Error(Code::kInvalidArgument, what + "mount_point must be " + bundle + "/rootfs");
  if (storage.source != kPause) {
    make_directories(storage.mount_point, made);
    co_return co_await context.pull_image(storage.source, bundle);
  }
  struct stat info{};
  if (::stat(kPauseRoot, &info) != 0)
    throw Error(Code::kFailedPrecondition, what + "this guest image has no " + kPauseRoot);
  make_directories(storage.mount_point, made);
  co_await mount_storage(storage, kPauseRoot, {"bind"}, made);
}

}  // namespace kata::storage
