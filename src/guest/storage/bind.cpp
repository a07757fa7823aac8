// A bind mount inside the guest. The original has no such driver; ours takes it for what needs no device.
#include <algorithm>
#include <sys/stat.h>

#include <fcntl.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::storage {

Awaitable<> attach_bind(const Storage& storage, const Context&, Attached& made) {
  struct stat info{};
  if (::stat(storage.source.c_str(), &info) != 0) throw_errno("bind storage source " + storage.source);
  if (S_ISDIR(info.st_mode)) {
    make_directories(storage.mount_point, made);
  } else {
    make_directories(storage.mount_point.substr(0, storage.mount_point.rfind('/')), made);
    open_file(storage.mount_point, O_CREAT | O_WRONLY | O_NOFOLLOW, 0644);
  }
  std::vector<std::string> options = storage.options;
  if (std::ranges::find(options, "rbind") == options.end()) options.emplace_back("bind");
  co_await mount_storage(storage, storage.source, options, made);
}

}  // namespace kata::storage
