#include "host/vsock_device/vhost_user_session.h"

#include <array>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/vsock_device/fake_guest.h"
#include "lib/error/error.h"

namespace kata::vsock_device {
namespace {

using testing::HasSubstr;

class Counter : public RingObserver {
 public:
  void ring_started(RingRole, int kick) override {
    EXPECT_GE(kick, 0);
    ++started;
  }
  void ring_stopped(RingRole, int) override { ++stopped; }
  int started = 0;
  int stopped = 0;
};

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socket pair");
    session.emplace(UniqueFd(ends[0]), FakeGuest::kCid, counter);
    guest.emplace(UniqueFd(ends[1]), [this] { alive = session->handle_message(); });
  }

  Counter counter;
  std::optional<VhostUserSession> session;
  std::optional<FakeGuest> guest;
  bool alive = true;
};

TEST_F(SessionTest, OffersWhatItCan) {
  EXPECT_EQ(guest->call_u64(Request::kGetFeatures),
            (1ULL << 28) | (1ULL << 29) | (1ULL << 30) | (1ULL << 32));
  const uint64_t protocol = guest->call_u64(Request::kGetProtocolFeatures);
  EXPECT_NE(protocol & (1ULL << 9), 0U) << "QEMU reads the context id by GET_CONFIG";
  EXPECT_EQ(protocol & ~((1ULL << 0) | (1ULL << 3) | (1ULL << 9) | (1ULL << 15)), 0U);
  EXPECT_EQ(guest->call_u64(Request::kGetQueueNum), 3U);
  EXPECT_EQ(guest->call_u64(Request::kGetMaxMemorySlots), GuestMemory::kMaxRegions);
}

TEST_F(SessionTest, ConfigIsTheContextId) {
  struct Row {
    uint32_t offset, size;
    std::string expected;
  };
  const std::string cid{static_cast<char>(FakeGuest::kCid), 0, 0, 0, 0, 0, 0, 0};
  const std::vector<Row> rows = {{0, 8, cid},
                                 {0, 4, cid.substr(0, 4)},
                                 {4, 4, std::string(4, '\0')},
                                 {0, 10, cid + std::string(2, '\0')},
                                 {200, 2, std::string(2, '\0')}};
  for (const Row& row : rows) {
    std::string request(12 + row.size, '\0');
    std::memcpy(request.data(), &row.offset, 4);
    std::memcpy(request.data() + 4, &row.size, 4);
    const std::string reply = guest->call(Request::kGetConfig, request.data(), request.size());
    EXPECT_EQ(reply.substr(12), row.expected) << row.offset << "+" << row.size;
  }
}

TEST_F(SessionTest, RingsStartWhenCompleteAndStopWhenAsked) {
  guest->start();
  EXPECT_EQ(counter.started, 2);
  EXPECT_NE(session->ring(RingRole::kReceive), nullptr);
  EXPECT_EQ(session->ring(RingRole::kEvent), nullptr);
  guest->set_memory();
  EXPECT_EQ(counter.started, 4) << "a new memory table places the rings anew";
  EXPECT_EQ(counter.stopped, 2);
  guest->stop();
  EXPECT_EQ(counter.stopped, 4);
  EXPECT_EQ(session->ring(RingRole::kTransmit), nullptr);
  guest->start_ring(1);
  EXPECT_NE(session->ring(RingRole::kTransmit), nullptr);
  guest->close_socket();
  EXPECT_FALSE(session->handle_message());
}

TEST_F(SessionTest, RingsNeedNoEnableWithoutProtocolFeatures) {
  guest->start((1ULL << 32));
  EXPECT_NE(session->ring(RingRole::kReceive), nullptr);
}

TEST_F(SessionTest, MemoryRegionsComeAndGoOneByOne) {
  guest->start();
  struct {
    uint64_t padding = 0;
    RegionSpec region{.guest_address = 0x80000000, .size = 0x1000, .frontend_address = 0x1000};
  } message;
  const UniqueFd memory(::memfd_create("more", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory.get(), 0x1000), 0);
  guest->send(Request::kAddMemoryRegion, &message, sizeof(message), {memory.get()});
  EXPECT_NE(session->ring(RingRole::kReceive), nullptr);
  guest->send(Request::kRemoveMemoryRegion, &message, sizeof(message));
  EXPECT_NE(session->ring(RingRole::kReceive), nullptr);
  EXPECT_THROW(guest->send(Request::kRemoveMemoryRegion, &message, sizeof(message)), Error);
}

struct BadRow {
  const char* name;
  Request request;
  std::string payload;
  int fds;
  const char* message;
};

std::string words(std::initializer_list<uint64_t> values) {
  std::string bytes;
  for (const uint64_t value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return bytes;
}

class BadMessageTest : public SessionTest, public testing::WithParamInterface<BadRow> {};

TEST_P(BadMessageTest, IsRefusedWithItsReason) {
  guest->start();
  const UniqueFd small(::memfd_create("small", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(small.get(), 4096), 0);
  const BadRow& row = GetParam();
  try {
    guest->send(row.request, row.payload.data(), row.payload.size(),
                std::vector<int>(static_cast<size_t>(row.fds), small.get()));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr(row.message));
  }
}

const BadRow kBadRows[] = {
    {"UnknownRequest", Request{77}, "", 0, "not offered"},
    {"ShortNumber", Request::kSetFeatures, "abc", 0, "too short"},
    {"UnofferedFeature", Request::kSetFeatures, words({1ULL << 26}), 0, "not offered"},
    {"RingThatIsNot", Request::kSetVringNum, words({3}), 0, "no ring 3"},
    {"RingIndexOfKick", Request::kSetVringKick, words({9}), 1, "no ring 9"},
    {"KickWithoutDescriptor", Request::kSetVringKick, words({0}), 0, "descriptor missing"},
    {"RingOutsideOfMemory", Request::kSetVringAddress, words({0, 0x1000, 0x1000, 0x1000, 0}), 0, "placing"},
    {"RingSizeNoPowerOfTwo", Request::kSetVringNum, words({3ULL << 32}), 0, "no queue size"},
    {"TooManyRegions", Request::kSetMemoryTable, words({65}), 1, "65 regions"},
    {"CutOffTable", Request::kSetMemoryTable, words({2, 0, 1}), 1, "too short"},
    {"RegionWithoutDescriptor", Request::kSetMemoryTable, words({1, 0, 4096, 0, 0}), 0, "descriptor missing"},
    {"RegionBeyondItsFile", Request::kSetMemoryTable, words({1, 0, 8192, 0, 0}), 1, "end of its file"},
    {"RegionOffsetBeyond", Request::kSetMemoryTable, words({1, 0, 4096, 0, 4096}), 1, "end of its file"},
    {"EmptyRegion", Request::kSetMemoryTable, words({1, 0, 0, 0, 0}), 1, "empty"},
    {"OverlappingRegions", Request::kSetMemoryTable, words({2, 0, 4096, 0, 0, 4095, 1, 0, 0}), 2, "overlaps"},
    {"TooManyDescriptors", Request::kSetOwner, "", 9, "more descriptors"},
    {"ConfigOutOfBounds", Request::kGetConfig, words({0x200ULL << 32, 0}), 0, "out of bounds"},
    {"ConfigOffsetWraps", Request::kGetConfig, words({(8ULL << 32) | 0xffffffff, 0}), 0, "out of bounds"},
};

INSTANTIATE_TEST_SUITE_P(Rows, BadMessageTest, testing::ValuesIn(kBadRows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(MessageHeaderTest, OtherVersionsRepliesAndHugePayloadsAreRefused) {
  struct Row {
    std::array<uint32_t, 3> header;
    bool good;
  };
  const std::vector<Row> rows = {{{1, 1, 0}, true},
                                 {{1, 9, 8}, true},
                                 {{1, 0, 0}, false},
                                 {{1, 2, 0}, false},
                                 {{1, 5, 0}, false},
                                 {{5, 1, kMaxPayload}, true},
                                 {{5, 1, kMaxPayload + 1}, false},
                                 {{5, 1, 0xffffffff}, false}};
  for (const Row& row : rows) {
    std::array<std::byte, kMessageHeaderSize> bytes;
    std::memcpy(bytes.data(), row.header.data(), bytes.size());
    EXPECT_EQ(parse_message_header(bytes).has_value(), row.good)
        << row.header[0] << " " << row.header[1] << " " << row.header[2];
  }
}

}  // namespace
}  // namespace kata::vsock_device
