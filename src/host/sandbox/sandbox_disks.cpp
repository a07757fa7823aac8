// The disks of a sandbox's containers: claimed before the VM may run, plugged when it does.
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include <unistd.h>

#include "host/config/cri_annotations.h"
#include "host/resource/rootfs/block_rootfs.h"
#include "host/resource/rootfs/erofs_rootfs.h"
#include "host/resource/volume/block_volumes.h"
#include "host/resource/volume/guest_dirs.h"
#include "host/sandbox/sandbox_impl.h"
#include "host/sandbox/vm_plan.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

[[noreturn]] void refuse_folder(const Container& target) {
  const std::string what = target.rootfs.empty()
                               ? "is a folder of the node"
                               : "comes as " + target.rootfs.front().type + " mount of the node";
  throw Error(Code::kFailedPrecondition,
              "root file system of container " + target.id + " " + what +
                  ", and the guest has no shared file system (shared_fs = \"none\"): use a snapshotter whose "
                  "snapshots are disks (blockfile, devmapper, erofs) or shared_fs = \"virtio-fs\"");
}

}  // namespace

void SandboxImpl::make_disk_manager(const oci::Spec& spec, const std::vector<rootfs::MountRequest>& rootfs) {
  if (disks_) return;
  const auto kind = config::read_cri_annotations(spec.annotations, config_.id).kind;
  disks_ = std::make_unique<device::DiskManager>(executor_,
                                                 plan_disks(config_.config, kind, rootfs::classify(rootfs)));
}

Awaitable<> SandboxImpl::claim_disks(std::shared_ptr<Container> container) {
  Container& target = *container;
  make_disk_manager(target.spec, target.rootfs);
  switch (rootfs::classify(target.rootfs)) {
    case rootfs::Kind::kFolder:
      if (plan_share_kind(config_.config) == ShareKind::kCopies) refuse_folder(target);
      break;
    case rootfs::Kind::kBlock:
      rootfs::claim_block_rootfs(target.rootfs.front(), target.id,
                                 target.spec.root && target.spec.root->readonly
                                     ? rootfs::RootAccess::kReadOnly
                                     : rootfs::RootAccess::kReadWrite,
                                 *disks_, target.disks);
      break;
    case rootfs::Kind::kLayers:
      rootfs::claim_layered_rootfs(target.rootfs, target.id, *disks_, target.disks);
      break;
  }
  const volume::VolumeRules rules = plan_volumes(config_.id, config_.config);
  for (std::string& image : co_await volume::prepare_empty_dirs(target.spec, rules))
    empty_dir_images_.insert(std::move(image));
  volume::claim_block_volumes(target.spec, rules, *disks_, target.disks);
}

void SandboxImpl::add_guest_dirs(Container& target, agent::ContainerSetup& setup) const {
  if (plan_share_kind(config_.config) != ShareKind::kCopies) return;
  volume::GuestDirs dirs = volume::guest_empty_dirs(target.spec, config_.id, target.disks.mounts);
  std::ranges::move(dirs.storages, std::back_inserter(setup.storages));
  std::ranges::move(dirs.mounts, std::back_inserter(target.disks.mounts));
}

Awaitable<> SandboxImpl::plug_disks(std::shared_ptr<Container> target, agent::ContainerSetup& setup) {
  for (device::ContainerDisks::OnDisk& entry : target->disks.storages) {
    agent::Storage storage = entry.storage;
    if (!entry.disk.empty()) {
      const device::GuestAddress address = co_await disks_->plug(entry.disk);
      storage.driver = address.driver;
      storage.source = address.source;
    }
    setup.storages.push_back(std::move(storage));
  }
  for (const device::ContainerDisks::Node& node : target->disks.nodes) {
    device::GuestAddress address = co_await disks_->plug(node.disk);
    setup.devices.push_back({.id = std::move(address.source),
                             .type = std::move(address.driver),
                             .vm_path = {},
                             .container_path = node.path,
                             .options = {}});
  }
  for (const device::ContainerDisks::MountSource& source : target->disks.mounts) {
    oci::Mount& mount = setup.spec.mounts.at(source.index);
    mount.source = source.path;
    mount.type = "bind";
    std::erase(mount.options, "loop");
    if (std::ranges::find(mount.options, "rbind") == mount.options.end()) mount.options.emplace_back("rbind");
  }
}

void SandboxImpl::remove_empty_dirs() {
  for (const std::string& image : std::exchange(empty_dir_images_, {})) {
    if (::unlink(image.c_str()) != 0 && errno != ENOENT) throw_errno("removing " + image);
  }
}

Awaitable<> SandboxImpl::release_disks(std::shared_ptr<Container> target) {
  for (const std::string& file : std::exchange(target->disks.files, {})) ::unlink(file.c_str());
  for (const std::string& id : std::exchange(target->disks.claimed, {})) {
    try {
      co_await disks_->release(id);
    } catch (const Error& error) {
      log::warning("giving back a disk",
                   {{"container", target->id}, {"disk", id}, {"error", error.message()}});
    }
  }
}

}  // namespace kata::sandbox
