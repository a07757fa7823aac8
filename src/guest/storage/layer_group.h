// Storages of one request that together are a root file system: EROFS layers, perhaps a writable one over
// them (agent-api facts, section 4.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guest/storage/storage.h"

namespace kata::storage {

inline constexpr const char* kLayersDriver = "erofs.multi-layer";

// dm-verity of a layer; sizes in bytes.
struct Verity {
  std::string root_hash, salt;
  uint64_t hash_offset = 0;
  uint32_t block_size = 4096, hash_size = 4096;
  bool has_super_block = true;
};

struct Layer {
  std::string driver, source;
  // 0 = the whole disk.
  uint32_t partition = 0;
  std::optional<Verity> verity;
};

struct LayerGroup {
  std::optional<Storage> upper;
  // The topmost first.
  std::vector<Layer> lowers;
  // Folders to make, relative to the writable layer (first) or the topmost of the others.
  struct Folder {
    enum class Root { kUpper, kLower };
    Root root = Root::kUpper;
    std::string path;
  };
  std::vector<Folder> folders;
};

// Puts the members of a group in one storage of kLayersDriver, at the place of the first; others stay as they
// are. The mount point is the writable member's, without one the first other's.
std::vector<Storage> group_layers(std::vector<Storage> storages);

// What the members say. kInvalidArgument for more than one writable member, none of the others, a driver that
// is no PCI or SCSI disk, option values that make no sense.
LayerGroup parse_layers(const std::vector<Storage>& members);

}  // namespace kata::storage
