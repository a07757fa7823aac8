#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"

namespace kata::storage {

Awaitable<> attach_virtio_fs(const Storage& storage, const Context&, Attached& made) {
  make_directories(storage.mount_point, made);
  co_await mount_storage(storage, storage.source, storage.options, made);
}

}  // namespace kata::storage
