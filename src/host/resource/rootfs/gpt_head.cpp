#include "host/resource/rootfs/gpt_head.h"

#include <algorithm>
#include <string_view>
#include <sys/random.h>

#include "lib/error/error.h"

namespace kata::rootfs {
namespace {

constexpr size_t kSector = 512;
constexpr size_t kHeaderSize = 92;
constexpr size_t kEntrySize = 128;
constexpr size_t kFirstUsable = 34;
constexpr size_t kNameUnits = 36;

// 0FC63DAF-8483-4772-8E79-3D69D8477DE4, Linux file system data, as it lies on disk.
constexpr std::string_view kLinuxData("\xAF\x3D\xC6\x0F\x83\x84\x72\x47\x8E\x79\x3D\x69\xD8\x47\x7D\xE4", 16);

void put(std::string& bytes, size_t offset, uint64_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) bytes[offset + i] = static_cast<char>(value >> (8 * i));
}

void put(std::string& bytes, size_t offset, std::string_view text) {
  std::ranges::copy(text, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

void put(std::string& bytes, size_t offset, const Guid& guid) {
  std::ranges::transform(guid, bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                         [](uint8_t byte) { return static_cast<char>(byte); });
}

// The reflected polynomial of IEEE 802.3.
uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

// UTF-16 of a name; what is no printable ASCII becomes '_': names are for people who look at a disk.
void put_name(std::string& bytes, size_t offset, std::string_view name) {
  const size_t units = std::min(name.size(), kNameUnits);
  for (size_t i = 0; i < units; ++i) {
    const char c = name[i] >= ' ' && name[i] <= '~' ? name[i] : '_';
    put(bytes, offset + 2 * i, static_cast<uint8_t>(c), 2);
  }
}

std::vector<GptPartition> place(const std::vector<GptLayer>& layers) {
  std::vector<GptPartition> partitions;
  uint64_t next = kHeadSectors;
  for (const GptLayer& layer : layers) {
    const uint64_t sectors = layer.bytes / kSector + (layer.bytes % kSector != 0 ? 1 : 0);
    partitions.push_back({.start = next, .sectors = sectors});
    next = (next + sectors + kHeadSectors - 1) / kHeadSectors * kHeadSectors;
  }
  return partitions;
}

void put_mbr(std::string& bytes, uint64_t sectors) {
  constexpr size_t kEntry = 446;
  put(bytes, kEntry + 1, 0x000200, 3);
  bytes[kEntry + 4] = static_cast<char>(0xEE);
  put(bytes, kEntry + 5, 0xFFFFFF, 3);
  put(bytes, kEntry + 8, 1, 4);
  put(bytes, kEntry + 12, std::min<uint64_t>(sectors - 1, 0xFFFFFFFF), 4);
  put(bytes, 510, 0xAA55, 2);
}

void put_header(std::string& bytes, const GptHead& head, const Guid& disk) {
  std::string header(kHeaderSize, '\0');
  put(header, 0, std::string_view("EFI PART"));
  put(header, 8, 0x00010000, 4);
  put(header, 12, kHeaderSize, 4);
  put(header, 24, 1, 8);
  // The backup that is not there.
  put(header, 32, head.sectors, 8);
  put(header, 40, kFirstUsable, 8);
  put(header, 48, head.sectors - 1, 8);
  put(header, 56, disk);
  put(header, 72, 2, 8);
  put(header, 80, kMaxPartitions, 4);
  put(header, 84, kEntrySize, 4);
  put(header, 88, crc32(std::string_view(bytes).substr(2 * kSector)), 4);
  put(header, 16, crc32(header), 4);
  put(bytes, kSector, std::string_view(header));
}

}  // namespace

Guid random_guid() {
  Guid guid{};
  if (::getrandom(guid.data(), guid.size(), 0) != static_cast<ssize_t>(guid.size()))
    throw_errno("random numbers");
  // The third group is little-endian on disk.
  guid[7] = static_cast<uint8_t>((guid[7] & 0x0F) | 0x40);
  guid[8] = static_cast<uint8_t>((guid[8] & 0x3F) | 0x80);
  return guid;
}

GptHead make_gpt_head(const std::vector<GptLayer>& layers, const std::function<Guid()>& make_guid) {
  if (layers.empty() || layers.size() > kMaxPartitions) {
    throw Error(Code::kInvalidArgument, "a disk of " + std::to_string(layers.size()) +
                                            " layers: there must be 1 to " + std::to_string(kMaxPartitions));
  }
  GptHead head;
  head.partitions = place(layers);
  head.sectors = head.partitions.back().start + head.partitions.back().sectors;
  head.bytes.assign(kFirstUsable * kSector, '\0');
  const Guid disk = make_guid();
  for (size_t i = 0; i < layers.size(); ++i) {
    const size_t at = 2 * kSector + i * kEntrySize;
    put(head.bytes, at, kLinuxData);
    put(head.bytes, at + 16, make_guid());
    put(head.bytes, at + 32, head.partitions[i].start, 8);
    put(head.bytes, at + 40, head.partitions[i].start + head.partitions[i].sectors - 1, 8);
    put_name(head.bytes, at + 56, "erofs-" + std::to_string(i) + "-s" + layers[i].name);
  }
  put_header(head.bytes, head, disk);
  put_mbr(head.bytes, head.sectors);
  return head;
}

}  // namespace kata::rootfs
