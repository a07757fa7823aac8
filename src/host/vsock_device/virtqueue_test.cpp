#include "host/vsock_device/virtqueue.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/vsock_device/fake_ring.h"

namespace kata::vsock_device {
namespace {

using testing::HasSubstr;

constexpr uint32_t kSize = 8;
constexpr size_t kMemory = 64 * 1024;
constexpr uint64_t kBuffers = kFakeGuestBase + 0x4000;
constexpr uint64_t kIndirectOffset = 0x2000;
constexpr uint64_t kIndirect = kFakeGuestBase + kIndirectOffset;

struct alignas(64) World {
  World() {
    memory.add_borrowed(
        {.guest_address = kFakeGuestBase, .size = kMemory, .frontend_address = kFakeFrontendBase},
        bytes.data());
  }
  Virtqueue queue(RingFeature features = RingFeature::kBoth) { return {memory, ring.layout(), 0, features}; }

  alignas(64) std::array<std::byte, kMemory> bytes{};
  GuestMemory memory;
  FakeRing ring{bytes.data(), 0, kSize};
};

TEST(VirtqueueTest, GivesChainsInOrderWithTheirMemory) {
  World world;
  world.ring.describe(0, kBuffers, 100, kFakeNext, 3);
  world.ring.describe(3, kBuffers + 0x1000, 50, 0);
  world.ring.describe(5, kBuffers + 0x2000, 7, 0);
  world.ring.offer(0);
  world.ring.offer(5);
  Virtqueue queue = world.queue();
  std::vector<iovec> pieces;
  auto first = queue.pop(Access::kDeviceReads, pieces);
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->bytes, 150U);
  EXPECT_EQ((*first)->count, 2U);
  auto second = queue.pop(Access::kDeviceReads, pieces);
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->head, 5);
  EXPECT_EQ((*second)->first, 2U);
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[1].iov_base, world.bytes.data() + 0x5000);
  auto none = queue.pop(Access::kDeviceReads, pieces);
  EXPECT_TRUE(none && !*none);

  queue.push(**second, 9);
  EXPECT_TRUE(queue.publish());
  EXPECT_FALSE(queue.publish()) << "nothing new";
  const auto used = world.ring.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->id, 5U);
  EXPECT_EQ(used->length, 9U);
}

TEST(VirtqueueTest, UnpopGivesTheSameChainsAgain) {
  World world;
  for (uint16_t i = 0; i < 3; ++i) {
    world.ring.describe(i, kBuffers + i * 0x100ULL, 16, kFakeWrite);
    world.ring.offer(i);
  }
  Virtqueue queue = world.queue();
  std::vector<iovec> pieces;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(*queue.pop(Access::kDeviceWrites, pieces));
  queue.unpop(2);
  EXPECT_EQ(queue.next(), 1);
  EXPECT_EQ((*queue.pop(Access::kDeviceWrites, pieces))->head, 1);
}

// A descriptor of the ring's table or, with `indirect`, of the table at kIndirect.
struct Entry {
  bool indirect;
  uint16_t index;
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next = 0;
};

struct HostileRow {
  const char* name;
  std::vector<Entry> entries;
  const char* message;
  uint16_t head = 0;
  RingFeature features = RingFeature::kBoth;
};

const std::vector<HostileRow>& hostile_chains() {
  static const std::vector<HostileRow> rows = {
      {"head beyond the table", {}, "does not exist", kSize},
      {"next beyond the table", {{false, 0, kBuffers, 1, kFakeNext, 0xffff}}, "does not exist"},
      {"chain that bites its tail",
       {{false, 0, kBuffers, 1, kFakeNext, 1}, {false, 1, kBuffers, 1, kFakeNext, 0}},
       "without an end"},
      {"address outside", {{false, 0, 0x10, 1, 0}}, "not in guest memory"},
      {"over the end of memory", {{false, 0, kFakeGuestBase + kMemory - 1, 2, 0}}, "not in guest memory"},
      {"address wraps around", {{false, 0, ~0ULL - 3, 0xffffffff, 0}}, "not in guest memory"},
      {"device-writable where it reads", {{false, 0, kBuffers, 1, kFakeWrite}}, "wrong direction"},
  };
  return rows;
}

const std::vector<HostileRow>& hostile_indirect() {
  constexpr const char* kNotHere = "indirect descriptor where none";
  static const std::vector<HostileRow> rows = {
      {"without the feature",
       {{false, 0, kIndirect, 16, kFakeIndirect}},
       kNotHere,
       0,
       RingFeature::kEventIndex},
      {"inside another",
       {{false, 0, kIndirect, 16, kFakeIndirect}, {true, 0, kIndirect, 16, kFakeIndirect}},
       kNotHere},
      {"with next", {{false, 0, kIndirect, 16, kFakeIndirect | kFakeNext, 1}}, kNotHere},
      {"odd size", {{false, 0, kIndirect, 17, kFakeIndirect}}, "indirect table of 17"},
      {"empty", {{false, 0, kIndirect, 0, kFakeIndirect}}, "indirect table of 0"},
      {"huge", {{false, 0, kIndirect, 0xfffffff0, kFakeIndirect}}, "indirect table of"},
      {"outside",
       {{false, 0, kFakeGuestBase + kMemory - 16, 32, kFakeIndirect}},
       "indirect table that is not"},
      {"loop",
       {{false, 0, kIndirect, 32, kFakeIndirect},
        {true, 0, kBuffers, 1, kFakeNext, 1},
        {true, 1, kBuffers, 1, kFakeNext, 0}},
       "without an end"},
  };
  return rows;
}

void expect_refused(World& world, const HostileRow& row) {
  SCOPED_TRACE(row.name);
  Virtqueue queue = world.queue(row.features);
  std::vector<iovec> pieces = {{.iov_base = nullptr, .iov_len = 0}};
  const auto result = queue.pop(Access::kDeviceReads, pieces);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(), HasSubstr(row.message));
  EXPECT_EQ(pieces.size(), 1U) << "nothing of the broken chain is left";
}

class HostileRingTest : public testing::TestWithParam<HostileRow> {};

TEST_P(HostileRingTest, IsRefused) {
  World world;
  for (const Entry& entry : GetParam().entries)
    world.ring.describe_at(entry.indirect ? kIndirectOffset + 16ULL * entry.index : 16ULL * entry.index,
                           entry.address, entry.length, entry.flags, entry.next);
  world.ring.offer(GetParam().head);
  expect_refused(world, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Chains, HostileRingTest, testing::ValuesIn(hostile_chains()));
INSTANTIATE_TEST_SUITE_P(Indirect, HostileRingTest, testing::ValuesIn(hostile_indirect()));

TEST(VirtqueueTest, RefusesAnIndexThatRunsAheadAndTooManyPieces) {
  World ahead;
  ahead.ring.set_available_index(kSize + 1);
  expect_refused(ahead, {"index runs ahead", {}, "runs ahead"});
  World many;
  many.ring.describe(0, kIndirect, 16 * 300, kFakeIndirect);
  for (uint16_t i = 0; i < 300; ++i)
    many.ring.describe_at(kIndirectOffset + 16ULL * i, kBuffers, 1, kFakeNext, static_cast<uint16_t>(i + 1));
  many.ring.offer(0);
  expect_refused(many, {"too many pieces", {}, "too many pieces"});
}

TEST(VirtqueueTest, IndirectTablesAndEmptyPiecesAreFine) {
  World world;
  world.ring.describe(2, kIndirect, 48, kFakeIndirect);
  world.ring.describe_at(kIndirectOffset, kBuffers, 44, kFakeNext, 1);
  world.ring.describe_at(kIndirectOffset + 16, kBuffers, 0, kFakeNext, 2);
  world.ring.describe_at(kIndirectOffset + 32, kBuffers + 0x1000, 1000, 0);
  world.ring.offer(2);
  Virtqueue queue = world.queue();
  std::vector<iovec> pieces;
  const auto chain = queue.pop(Access::kDeviceReads, pieces);
  ASSERT_TRUE(chain && *chain);
  EXPECT_EQ((*chain)->head, 2);
  EXPECT_EQ((*chain)->bytes, 1044U);
  EXPECT_EQ(pieces.size(), 2U);
}

TEST(VirtqueueTest, RefusesLayoutsOutsideOfMemory) {
  World world;
  const RingLayout good = world.ring.layout();
  struct Row {
    const char* name;
    std::function<void(RingLayout&)> spoil;
  };
  const std::vector<Row> rows = {
      {"size 0", [](RingLayout& l) { l.size = 0; }},
      {"size no power of two", [](RingLayout& l) { l.size = 6; }},
      {"size too big", [](RingLayout& l) { l.size = 65536; }},
      {"descriptors misaligned", [](RingLayout& l) { l.descriptors += 8; }},
      {"descriptors outside", [](RingLayout& l) { l.descriptors = 0; }},
      {"available misaligned", [](RingLayout& l) { l.available += 1; }},
      {"available at the end", [](RingLayout& l) { l.available = kFakeFrontendBase + kMemory - 4; }},
      {"used misaligned", [](RingLayout& l) { l.used += 2; }},
      {"used wraps", [](RingLayout& l) { l.used = ~0ULL - 3; }},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    RingLayout layout = good;
    row.spoil(layout);
    EXPECT_THROW(Virtqueue(world.memory, layout, 0, RingFeature::kBoth), Error);
  }
}

TEST(VirtqueueTest, InterruptsAndKicksFollowTheEventIndexes) {
  World world;
  for (uint16_t i = 0; i < 4; ++i) {
    world.ring.describe(i, kBuffers, 16, 0);
    world.ring.offer(i);
  }
  Virtqueue queue = world.queue();
  std::vector<iovec> pieces;
  std::vector<Chain> chains;
  for (int i = 0; i < 4; ++i) chains.push_back(**queue.pop(Access::kDeviceReads, pieces));
  world.ring.set_used_event(1);
  queue.push(chains[0], 0);
  EXPECT_FALSE(queue.publish()) << "the driver wants to know of the second buffer";
  queue.push(chains[1], 0);
  EXPECT_TRUE(queue.publish());
  queue.push(chains[2], 0);
  EXPECT_FALSE(queue.publish());

  EXPECT_FALSE(queue.arm_kick());
  EXPECT_EQ(world.ring.available_event(), 4);
  world.ring.offer(0);
  EXPECT_TRUE(queue.arm_kick()) << "a buffer came before the driver saw that a kick is wanted";
}

TEST(VirtqueueTest, WithoutEventIndexesTheFlagDecides) {
  World world;
  world.ring.describe(0, kBuffers, 16, 0);
  world.ring.offer(0);
  world.ring.offer(0);
  Virtqueue queue = world.queue(RingFeature::kNone);
  std::vector<iovec> pieces;
  const Chain chain = **queue.pop(Access::kDeviceReads, pieces);
  queue.push(chain, 0);
  EXPECT_TRUE(queue.publish());
  world.ring.set_no_interrupt(1);
  queue.push(chain, 0);
  EXPECT_FALSE(queue.publish());
}

TEST(GuestMemoryTest, TranslatesWithinRegionsOnly) {
  std::array<std::byte, 0x3000> bytes{};
  GuestMemory memory;
  memory.add_borrowed({.guest_address = 0x1000, .size = 0x1000, .frontend_address = 0x10000}, bytes.data());
  memory.add_borrowed({.guest_address = 0x2000, .size = 0x1000, .frontend_address = 0x50000},
                      bytes.data() + 0x2000);
  EXPECT_EQ(memory.at_guest(0x1000, 0x1000), bytes.data());
  EXPECT_EQ(memory.at_guest(0x1fff, 2), nullptr) << "runs into another mapping";
  EXPECT_EQ(memory.at_guest(0xfff, 1), nullptr);
  EXPECT_EQ(memory.at_guest(0x2fff, 1), bytes.data() + 0x2fff);
  EXPECT_EQ(memory.at_guest(0x3000, 0), nullptr);
  EXPECT_EQ(memory.at_guest(0x2000, ~0ULL), nullptr);
  EXPECT_EQ(memory.at_frontend(0x50010, 4), bytes.data() + 0x2010);
  EXPECT_EQ(memory.at_frontend(0x2000, 4), nullptr);

  std::vector<iovec> pieces;
  EXPECT_TRUE(memory.append(0x1ff0, 0x20, pieces, 8));
  ASSERT_EQ(pieces.size(), 2U) << "a range may run over adjacent regions";
  EXPECT_EQ(pieces[1].iov_base, bytes.data() + 0x2000);
  pieces.clear();
  EXPECT_FALSE(memory.append(0x1ff0, 0x20, pieces, 1));
}

TEST(GuestMemoryTest, RefusesRegionsThatCannotBe) {
  std::array<std::byte, 64> bytes{};
  GuestMemory memory;
  const RegionSpec first{.guest_address = 0x1000, .size = 64, .frontend_address = 0x10000};
  memory.add_borrowed(first, bytes.data());
  const std::vector<RegionSpec> rows = {
      {.guest_address = 0x9000, .size = 0},
      {.guest_address = ~0ULL - 10, .size = 64},
      {.guest_address = 0x9000, .size = 64, .frontend_address = ~0ULL - 10},
      {.guest_address = 0x9000, .size = 64, .mmap_offset = ~0ULL - 10},
      {.guest_address = 0x1020, .size = 64},
      {.guest_address = 0xff0, .size = 0x1000},
  };
  for (const RegionSpec& row : rows) EXPECT_THROW(memory.add_borrowed(row, bytes.data()), Error);
  EXPECT_FALSE(memory.remove({.guest_address = 0x1000, .size = 63, .frontend_address = 0x10000}));
  EXPECT_TRUE(memory.remove(first));
  for (size_t i = 0; i < GuestMemory::kMaxRegions; ++i)
    memory.add_borrowed({.guest_address = 0x1000 * (i + 1), .size = 64}, bytes.data());
  EXPECT_THROW(memory.add_borrowed({.guest_address = 0x900000, .size = 64}, bytes.data()), Error);
}

}  // namespace
}  // namespace kata::vsock_device
