// The handlers of the drivers, one file each; storage.cpp has the table.
#pragma once

#include "guest/storage/storage.h"

namespace kata::storage {

// A handler adds to `made` each thing as it makes it, so that a failure half way can be undone by the caller.
Awaitable<> attach_virtio_fs(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_bind(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_overlay(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_guest_pull(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_ephemeral(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_local(const Storage& storage, const Context& context, Attached& made);
Awaitable<> attach_watchable(const Storage& storage, const Context& context, Attached& made);
// blk, mmioblk, scsi, nvdimm, blk-ccw: the node is waited for, then mounted.
Awaitable<> attach_block(const Storage& storage, const Context& context, Attached& made);

// erofs.multi-layer: a group of disks that is one root file system.
Awaitable<> attach_layers(const Storage& storage, const Context& context, Attached& made);

}  // namespace kata::storage
