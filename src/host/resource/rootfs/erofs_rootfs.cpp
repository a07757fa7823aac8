#include "host/resource/rootfs/erofs_rootfs.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "host/resource/rootfs/block_rootfs.h"
#include "host/resource/rootfs/gpt_head.h"
#include "host/resource/rootfs/layer_verity.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/text/case.h"

namespace kata::rootfs {
namespace {

constexpr uint64_t kSector = 512;
// QEMU's extents are files of at most 2 GiB.
constexpr uint64_t kMaxExtent = 0x400000;
// The writable layer and 128 others.
constexpr size_t kMaxDisks = 129;

constexpr const char* kMember = "X-kata.multi-layer=true";
constexpr const char* kLower = "X-kata.overlay-lower";
constexpr const char* kUpper = "X-kata.overlay-upper";
constexpr std::string_view kMkdirFrom = "X-containerd.mkdir.path=";
constexpr std::string_view kMkdirTo = "X-kata.mkdir.path=";
constexpr std::string_view kDevice = "device=";
constexpr std::string_view kVerity = "X-containerd.dmverity=";

// What a mount list is made of.
struct Parts {
  std::vector<const MountRequest*> writable, layers;
  std::vector<std::string> folders;
};

Parts take_apart(const std::vector<MountRequest>& mounts) {
  Parts parts;
  for (const MountRequest& mount : mounts) {
    const std::string type = lower_case(mount.type);
    if (type == "ext4") parts.writable.push_back(&mount);
    if (type == "erofs") parts.layers.push_back(&mount);
    for (const std::string& option : mount.options) {
      if (type.ends_with("overlay") && option.starts_with(kMkdirFrom))
        parts.folders.push_back(std::string(kMkdirTo) + option.substr(kMkdirFrom.size()));
    }
  }
  if (parts.writable.size() + parts.layers.size() > kMaxDisks || parts.layers.size() > kMaxPartitions) {
    throw Error(Code::kInvalidArgument, "an image of " + std::to_string(parts.layers.size()) +
                                            " layers: at most " + std::to_string(kMaxPartitions) +
                                            " can be used");
  }
  if (parts.writable.size() > 1)
    throw Error(Code::kInvalidArgument, "a root file system with more than one writable layer");
  return parts;
}

agent::Storage member(const std::string& container_id, const std::string& type, const char* role) {
  agent::Storage storage;
  storage.fstype = type;
  storage.mount_point = guest_rootfs_path(container_id);
  storage.options = {role, kMember};
  return storage;
}

void claim_writable(const MountRequest& mount, const std::string& container_id, device::DiskManager& disks,
                    device::ContainerDisks& to) {
  std::string type = "ext4";
  const std::string id = disks.claim(mount.source, device::Access::kReadWrite, &type);
  to.claimed.push_back(id);
  agent::Storage storage = member(container_id, type, kUpper);
  for (const std::string& option : mount.options) {
    if (option != "loop") storage.options.push_back(option);
  }
  to.storages.push_back({.disk = id, .storage = std::move(storage)});
}

// A layer's file, empty for one of no bytes, which is passed over.
std::optional<device::DiskFile> open_layer(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) == 0) {
    log::warning("an empty layer is left out", {{"layer", path}});
    return std::nullopt;
  }
  device::DiskFile file = device::open_disk(path, device::Access::kReadOnly);
  if (file.backing != vmm::DiskSpec::Backing::kFile)
    throw Error(Code::kInvalidArgument, "layer " + path + " is not a regular file");
  return file;
}

// fsmeta with its data: the guest's kernel finds the parts one after the other.
void claim_one_image(const MountRequest& mount, const std::vector<std::string>& folders,
                     const std::string& container_id, device::DiskManager& disks,
                     device::ContainerDisks& to) {
  std::vector<std::string> paths = {mount.source};
  agent::Storage storage = member(container_id, "erofs", kLower);
  for (const std::string& option : mount.options) {
    if (option.starts_with(kDevice)) {
      paths.push_back(option.substr(kDevice.size()));
    } else if (option != "loop" && !option.starts_with("X-")) {
      storage.options.push_back(option);
    }
  }
  storage.options.insert(storage.options.end(), folders.begin(), folders.end());
  std::string id;
  if (paths.size() == 1) {
    std::string type = "erofs";
    id = disks.claim(mount.source, device::Access::kReadOnly, &type);
  } else {
    device::ComposedDisk disk{.name = mount.source, .files = {}, .extents = {}};
    std::vector<uint64_t> sizes;
    for (const std::string& path : paths) {
      auto file = open_layer(path);
      if (!file) continue;
      if (disk.files.empty()) device::check_magic(*file, path, "erofs");
      sizes.push_back(file->size);
      disk.files.push_back(std::move(file->fd));
    }
    if (sizes.empty())
      throw Error(Code::kInvalidArgument, "all parts of image " + mount.source + " are empty");
    disk.extents = concatenate(sizes);
    id = disks.claim(std::move(disk));
  }
  to.claimed.push_back(id);
  to.storages.push_back({.disk = id, .storage = std::move(storage)});
}

// The head, then each layer after the gap before it.
std::vector<vmm::DiskExtent> partition_extents(const GptHead& head, const std::vector<uint64_t>& sizes) {
  constexpr size_t kHeadFile = 0, kGapFile = 1, kFirstLayer = 2;
  std::vector<vmm::DiskExtent> extents = {{.file = kHeadFile, .sectors = kHeadSectors, .offset = 0}};
  uint64_t end = kHeadSectors;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const GptPartition& partition = head.partitions[i];
    if (partition.start > end)
      extents.push_back({.file = kGapFile, .sectors = partition.start - end, .offset = 0});
    std::ranges::copy(concatenate({sizes[i]}, kFirstLayer + i), std::back_inserter(extents));
    end = partition.start + partition.sectors;
  }
  return extents;
}

void claim_partitions(const Parts& parts, const std::string& container_id, device::DiskManager& disks,
                      device::ContainerDisks& to) {
  device::ComposedDisk disk{.name = "layers of container " + container_id, .files = {}, .extents = {}};
  disk.files.resize(2);
  std::vector<GptLayer> layers;
  std::vector<uint64_t> sizes;
  std::vector<agent::Storage> storages;
  for (const MountRequest* mount : parts.layers) {
    auto file = open_layer(mount->source);
    if (!file) continue;
    device::check_filesystem(*file, mount->source, "erofs");
    layers.push_back(
        {.name = std::filesystem::path(mount->source).parent_path().filename(), .bytes = file->size});
    sizes.push_back(file->size);
    agent::Storage storage = member(container_id, "erofs", kLower);
    storage.options.emplace_back("X-kata.gpt-partitioned=true");
    storage.options.push_back("X-kata.partition-number=" + std::to_string(layers.size()));
    for (const std::string& option : mount->options) {
      if (option.starts_with(kVerity))
        std::ranges::move(verity_options(option.substr(kVerity.size()), file->fd.get()),
                          std::back_inserter(storage.options));
    }
    storages.push_back(std::move(storage));
    disk.files.push_back(std::move(file->fd));
  }
  if (layers.empty())
    throw Error(Code::kInvalidArgument,
                "the image of container " + container_id + " has no layer with content");
  storages.front().options.insert(storages.front().options.end(), parts.folders.begin(), parts.folders.end());
  const GptHead head = make_gpt_head(layers, random_guid);
  disk.files[0] = memory_file("kata-gpt", head.bytes, kHeadSectors * kSector, "a disk's beginning");
  // One piece of zeros serves every gap.
  disk.files[1] = memory_file("kata-gap", "", kHeadSectors * kSector, "a disk's beginning");
  disk.extents = partition_extents(head, sizes);
  const std::string id = disks.claim(std::move(disk));
  to.claimed.push_back(id);
  for (agent::Storage& storage : storages) to.storages.push_back({.disk = id, .storage = std::move(storage)});
}

}  // namespace

std::vector<vmm::DiskExtent> concatenate(const std::vector<uint64_t>& sizes, size_t first) {
  std::vector<vmm::DiskExtent> extents;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const uint64_t sectors = sizes[i] / kSector + (sizes[i] % kSector != 0 ? 1 : 0);
    for (uint64_t offset = 0; offset < sectors; offset += kMaxExtent)
      extents.push_back(
          {.file = first + i, .sectors = std::min(kMaxExtent, sectors - offset), .offset = offset});
  }
  return extents;
}

void claim_layered_rootfs(const std::vector<MountRequest>& mounts, const std::string& container_id,
                          device::DiskManager& disks, device::ContainerDisks& to) {
  with_context("root file system of container " + container_id, [&] {
    const Parts parts = take_apart(mounts);
    to.rootfs = guest_rootfs_path(container_id);
    for (const MountRequest* mount : parts.writable) claim_writable(*mount, container_id, disks, to);
    if (parts.layers.size() == 1) {
      claim_one_image(*parts.layers.front(), parts.folders, container_id, disks, to);
    } else {
      claim_partitions(parts, container_id, disks, to);
    }
  });
}

}  // namespace kata::rootfs
