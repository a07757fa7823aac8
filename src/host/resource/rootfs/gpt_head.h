// The first MiB of a disk whose partitions are the layers of an image: protective MBR, GPT header and entries
// (UEFI specification 2.10, chapter 5). There is no backup table: its place is outside of the disk, as the
// layers are the disk's end.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace kata::rootfs {

struct GptPartition {
  // Sectors of 512 bytes.
  uint64_t start = 0;
  uint64_t sectors = 0;
};

struct GptHead {
  // From the MBR to the end of the entries; the rest of kHeadSectors is zeros.
  std::string bytes;
  std::vector<GptPartition> partitions;
  // Of the whole disk.
  uint64_t sectors = 0;
};

// Partitions begin at multiples of this, and so does the first one.
inline constexpr uint64_t kHeadSectors = 2048;
inline constexpr size_t kMaxPartitions = 128;

struct GptLayer {
  // Part of the partition's name.
  std::string name;
  uint64_t bytes = 0;
};

using Guid = std::array<uint8_t, 16>;
// A random GUID, version 4.
Guid random_guid();

// kInvalidArgument for no layers and for more than kMaxPartitions.
GptHead make_gpt_head(const std::vector<GptLayer>& layers, const std::function<Guid()>& make_guid);

}  // namespace kata::rootfs
