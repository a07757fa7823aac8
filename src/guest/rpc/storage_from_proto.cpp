#include "guest/rpc/storage_from_proto.h"

#include "guest/rpc/proto_check.h"

namespace kata::rpc {

std::vector<storage::Storage> storages_from_proto(
    const google::protobuf::RepeatedPtrField<grpc::Storage>& from) {
  std::vector<storage::Storage> to;
  for (const grpc::Storage& entry : from) {
    storage::Storage storage;
    storage.driver = entry.driver();
    storage.driver_options = strings(entry.driver_options());
    storage.source = entry.source();
    storage.fstype = entry.fstype();
    storage.options = strings(entry.options());
    storage.mount_point = entry.mount_point();
    storage.shared = entry.shared();
    if (entry.has_fs_group()) {
      const bool on_mismatch = entry.fs_group().group_change_policy() == types::OnRootMismatch;
      storage.fs_group = storage::FsGroup{.gid = entry.fs_group().group_id(),
                                          .policy = on_mismatch ? storage::FsGroup::Policy::kOnRootMismatch
                                                                : storage::FsGroup::Policy::kAlways};
    }
    to.push_back(std::move(storage));
  }
  return to;
}

}  // namespace kata::rpc
