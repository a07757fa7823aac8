#include "host/resource/rootfs/gpt_head.h"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rootfs {
namespace {

using testing::HasSubstr;

// A reader of its own, to compare with.
uint64_t get(const std::string& bytes, size_t offset, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint64_t{static_cast<uint8_t>(bytes.at(offset + i))} << (8 * i);
  return value;
}

uint32_t crc(const std::string& bytes) {
  uint32_t sum = 0xFFFFFFFF;
  for (const char c : bytes) {
    sum ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) sum = (sum & 1) != 0 ? (sum >> 1) ^ 0xEDB88320 : sum >> 1;
  }
  return ~sum;
}

GptHead make(const std::vector<uint64_t>& sizes, const std::string& name = "7") {
  std::vector<GptLayer> layers;
  for (const uint64_t size : sizes) layers.push_back({.name = name, .bytes = size});
  uint8_t next = 0;
  return make_gpt_head(layers, [&next] {
    Guid guid{};
    guid.fill(++next);
    return guid;
  });
}

TEST(GptHead, Layout) {
  struct Row {
    const char* name;
    std::vector<uint64_t> sizes;
    std::vector<std::pair<uint64_t, uint64_t>> places;
  };
  const std::vector<Row> rows = {
      {"one byte", {1}, {{2048, 1}}},
      {"around a sector", {511, 512, 513}, {{2048, 1}, {4096, 1}, {6144, 2}}},
      {"a MiB leaves no gap", {1 << 20, 512}, {{2048, 2048}, {4096, 1}}},
      {"3 GiB", {uint64_t{3} << 30, 1}, {{2048, 6291456}, {6293504, 1}}},
  };
  for (const Row& row : rows) {
    const GptHead head = make(row.sizes);
    ASSERT_EQ(head.partitions.size(), row.places.size()) << row.name;
    for (size_t i = 0; i < row.places.size(); ++i) {
      const size_t entry = 1024 + 128 * i;
      EXPECT_EQ(head.partitions[i].start, row.places[i].first) << row.name;
      EXPECT_EQ(head.partitions[i].sectors, row.places[i].second) << row.name;
      EXPECT_EQ(get(head.bytes, entry + 32, 8), row.places[i].first) << row.name;
      EXPECT_EQ(get(head.bytes, entry + 40, 8), row.places[i].first + row.places[i].second - 1) << row.name;
    }
    EXPECT_EQ(head.sectors, row.places.back().first + row.places.back().second) << row.name;
  }
}

TEST(GptHead, HeaderAndSums) {
  for (const size_t count : {size_t{1}, size_t{2}, size_t{128}}) {
    const GptHead head = make(std::vector<uint64_t>(count, 4096));
    ASSERT_EQ(head.bytes.size(), 34U * 512);
    EXPECT_EQ(get(head.bytes, 510, 2), 0xAA55U);
    EXPECT_EQ(get(head.bytes, 450, 1), 0xEEU);
    EXPECT_EQ(get(head.bytes, 458, 4), head.sectors - 1);
    std::string header = head.bytes.substr(512, 92);
    EXPECT_EQ(header.substr(0, 8), "EFI PART");
    EXPECT_EQ(get(header, 24, 8), 1U);
    EXPECT_EQ(get(header, 32, 8), head.sectors);
    EXPECT_EQ(get(header, 40, 8), 34U);
    EXPECT_EQ(get(header, 48, 8), head.sectors - 1);
    EXPECT_EQ(get(header, 80, 4), 128U);
    EXPECT_EQ(get(header, 88, 4), crc(head.bytes.substr(1024)));
    const uint64_t sum = get(header, 16, 4);
    header.replace(16, 4, 4, '\0');
    EXPECT_EQ(sum, crc(header));
  }
}

TEST(GptHead, NamesAreCut) {
  const GptHead head = make({1}, "\xC3\xA4" + std::string(60, 'n'));
  const size_t name = 1024 + 56;
  EXPECT_EQ(get(head.bytes, name, 2), 'e');
  EXPECT_EQ(get(head.bytes, name + 2 * 9, 2), '_');
  EXPECT_EQ(get(head.bytes, name + 2 * 35, 2), 'n');
  EXPECT_EQ(get(head.bytes, name + 2 * 36, 2), get(head.bytes, 1024 + 128, 2)) << "nothing beyond the entry";
}

TEST(GptHead, CountsAreBounded) {
  EXPECT_THROW(make({}), Error);
  EXPECT_NO_THROW(make(std::vector<uint64_t>(128, 1)));
  try {
    make(std::vector<uint64_t>(129, 1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_THAT(error.message(), HasSubstr("129 layers"));
  }
}

TEST(GptHead, GuidsAreRandomVersionFour) {
  const Guid guid = random_guid();
  EXPECT_EQ(guid[7] & 0xF0, 0x40);
  EXPECT_EQ(guid[8] & 0xC0, 0x80);
  EXPECT_NE(guid, random_guid());
}

// The kernel's and util-linux's view of it.
TEST(GptHead, FdiskReadsIt) {
  if (::access("/sbin/sfdisk", X_OK) != 0 && ::access("/usr/sbin/sfdisk", X_OK) != 0)
    GTEST_SKIP() << "no sfdisk on this machine";
  char name[] = "/tmp/kata-gpt-XXXXXX";
  const UniqueFd file(::mkstemp(name));
  ASSERT_TRUE(file);
  const GptHead head = make({4096, 513, 1 << 20});
  write_all(file.get(), head.bytes, "head");
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(head.sectors * 512)), 0);
  const std::string command = "PATH=/usr/sbin:/sbin:$PATH sfdisk --dump " + std::string(name) +
                              " 2>/dev/null > " + std::string(name) + ".out";
  EXPECT_EQ(std::system(command.c_str()), 0);
  const std::string text = read_file(std::string(name) + ".out");
  EXPECT_THAT(text, HasSubstr("label: gpt"));
  EXPECT_THAT(text, HasSubstr("start=        2048, size=           8"));
  EXPECT_THAT(text, HasSubstr("start=        6144, size=        2048"));
  EXPECT_THAT(text, HasSubstr("name=\"erofs-2-s7\""));
  ::unlink(name);
  ::unlink((std::string(name) + ".out").c_str());
}

}  // namespace
}  // namespace kata::rootfs
