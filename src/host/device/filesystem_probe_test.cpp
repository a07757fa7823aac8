#include "host/device/filesystem_probe.h"

#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace kata::device {
namespace {

struct Patch {
  size_t offset;
  std::string bytes;
};

std::string head(const std::vector<Patch>& patches, size_t size = kProbeBytes) {
  std::string text(size, '\0');
  for (const Patch& patch : patches) text.replace(patch.offset, patch.bytes.size(), patch.bytes);
  return text;
}

std::string bytes(uint64_t value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

TEST(FilesystemProbe, KnownOnes) {
  struct Row {
    const char* name;
    std::vector<Patch> patches;
    std::string type;
    uint64_t size;
  };
  const std::string max = bytes(std::numeric_limits<uint64_t>::max(), 8);
  const std::vector<Row> rows = {
      {"ext4", {{1080, "\x53\xEF"}, {1028, bytes(16, 4)}, {1048, bytes(2, 4)}}, "ext4", 16 * 4096},
      {"ext4 with 64 bits",
       {{1080, "\x53\xEF"}, {1028, bytes(1, 4)}, {1120, bytes(0x80, 4)}, {1360, bytes(1, 4)}},
       "ext4",
       ((uint64_t{1} << 32) + 1) * 1024},
      {"ext4 with a block size that is none",
       {{1080, "\x53\xEF"}, {1028, max.substr(4)}, {1048, max.substr(4)}},
       "ext4",
       0},
      {"xfs", {{0, "XFSB"}, {4, std::string("\0\0\x10\0", 4)}, {15, "\x05"}}, "xfs", 5 * 4096},
      {"xfs too large to count",
       {{0, "XFSB"}, {4, max}, {8, max}},
       "xfs",
       std::numeric_limits<uint64_t>::max()},
      {"erofs", {{1024, "\xE2\xE1\xF5\xE0"}, {1036, "\x0C"}, {1060, bytes(3, 4)}}, "erofs", 3 * 4096},
      {"erofs with a block size that is none", {{1024, "\xE2\xE1\xF5\xE0"}, {1036, "\xFF"}}, "erofs", 0},
      {"btrfs", {{0x10040, "_BHRfS_M"}, {0x10070, bytes(1 << 20, 8)}}, "btrfs", 1 << 20},
      {"squashfs", {{0, "hsqs"}, {40, bytes(999, 8)}}, "squashfs", 999},
  };
  for (const Row& row : rows) {
    const auto info = probe_filesystem(head(row.patches));
    ASSERT_TRUE(info) << row.name;
    EXPECT_EQ(info->type, row.type) << row.name;
    EXPECT_EQ(info->size, row.size) << row.name;
  }
}

TEST(FilesystemProbe, NoneOfThem) {
  EXPECT_FALSE(probe_filesystem(head({})));
  EXPECT_FALSE(probe_filesystem(std::string_view()));
  EXPECT_FALSE(probe_filesystem(head({{1024, "\xE2\xE1\xF5\xE1"}})));
  EXPECT_FALSE(probe_filesystem(head({{0, "XFS"}}, 3)));
}

}  // namespace
}  // namespace kata::device
