// A folder of the guest or of the share, for volumes that live on a disk that is there already.
#include <sys/stat.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"

namespace kata::storage {

Awaitable<> attach_local(const Storage& storage, const Context&, Attached& made) {
  make_directories(storage.mount_point, made);
  if (const auto mode = option_value(storage.options, "mode")) {
    const auto bits = static_cast<mode_t>(parse_number(*mode, 8, "mode") & 07777);
    if (::chmod(storage.mount_point.c_str(), bits) != 0)
      throw_errno("changing the mode of " + storage.mount_point);
  }
  if (const auto gid = option_value(storage.options, "fsgid")) apply_fsgid(storage.mount_point, *gid);
  co_return;
}

}  // namespace kata::storage
