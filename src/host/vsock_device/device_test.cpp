#include "host/vsock_device/device.h"

#include <cstring>
#include <string>
#include <sys/socket.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/vsock_device/device_harness.h"
#include "host/vsock_device/fake_guest.h"
#include "lib/fd/io.h"

namespace kata::vsock_device {
namespace {

using testing::ElementsAre;

class DeviceTest : public testing::Test {
 protected:
  void start() {
    world.guest().start();
    world.guest().post_receive_buffers(32);
  }
  DeviceHarness world;
};

TEST_F(DeviceTest, HoldsConnectionsUntilTheGuestIsUp) {
  const UniqueFd early = world.host_connect("CONNECT 1024\n");
  const UniqueFd given_up = world.host_connect("CONNECT 1024\n");
  EXPECT_EQ(world.device().stream_count(), 2U);
  const_cast<UniqueFd&>(given_up).reset();
  world.settle();
  EXPECT_EQ(world.device().stream_count(), 1U) << "a dialer that gave up is not kept";
  EXPECT_FALSE(world.device().guest_up());
  start();
  EXPECT_TRUE(world.device().guest_up());
  const FakePacket request = world.one_to_guest();
  EXPECT_EQ(request.header.operation, Operation::kRequest);
  EXPECT_EQ(request.header.source_cid, kHostCid);
  EXPECT_EQ(request.header.destination_cid, FakeGuest::kCid);
  EXPECT_EQ(request.header.destination_port, 1024U);
  EXPECT_EQ(request.header.buffer_size, Stream::kBufferSize);
  const StreamKey key{.host_port = request.header.source_port, .guest_port = 1024};
  EXPECT_EQ(read_now(early), "") << "no answer before the guest's";
  world.from_guest(Operation::kResponse, key);
  EXPECT_EQ(read_now(early), "OK " + std::to_string(key.host_port) + "\n");
}

TEST_F(DeviceTest, RefusalOfTheGuestClosesWithoutAText) {
  start();
  const UniqueFd host = world.host_connect("connect 77\r\n");
  const FakePacket request = world.one_to_guest();
  EXPECT_EQ(request.header.destination_port, 77U);
  world.from_guest(Operation::kReset, {.host_port = request.header.source_port, .guest_port = 77});
  bool ended = false;
  EXPECT_EQ(read_now(host, &ended), "");
  EXPECT_TRUE(ended);
  EXPECT_TRUE(world.to_guest().empty()) << "a reset is not answered";
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, BadFirstLinesAreClosed) {
  start();
  const std::vector<std::string> rows = {
      "GET / HTTP/1.1\r\n", "CONNECT\n",      "CONNECT \n",           "CONNECT x\n",
      "CONNECT 1 2\n",      "CONNECT -1\n",   "CONNECT 4294967296\n", "\n",
      std::string(64, 'C'), "CONNECT 0x10\n", "CONNECT 1024 \n"};
  for (const std::string& row : rows) {
    SCOPED_TRACE(row);
    const UniqueFd host = world.host_connect(row);
    bool ended = false;
    EXPECT_EQ(read_now(host, &ended), "");
    EXPECT_TRUE(ended);
  }
  EXPECT_TRUE(world.to_guest().empty());
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, LineInPiecesAndDataRightBehindIt) {
  start();
  const UniqueFd host = world.host_connect("CONN");
  EXPECT_TRUE(world.to_guest().empty());
  write_now(host, "ECT 9\nearly");
  world.settle();
  const FakePacket request = world.one_to_guest();
  const StreamKey key{.host_port = request.header.source_port, .guest_port = 9};
  world.from_guest(Operation::kResponse, key);
  EXPECT_EQ(world.one_to_guest().payload, "early");
}

TEST_F(DeviceTest, DataGoesBothWays) {
  start();
  auto pair = world.open_from_host();
  write_now(pair.host, "ping");
  world.settle();
  FakePacket packet = world.one_to_guest();
  EXPECT_EQ(packet.header.operation, Operation::kReadWrite);
  EXPECT_EQ(packet.header.length, 4U);
  EXPECT_EQ(packet.payload, "ping");
  for (size_t pieces = 1; pieces <= 4; ++pieces) {
    world.from_guest(Operation::kReadWrite, pair.key, "pong over some pieces", 0, pieces);
    EXPECT_EQ(read_now(pair.host), "pong over some pieces") << pieces;
  }
  EXPECT_TRUE(world.guest().interrupted(0));
}

TEST_F(DeviceTest, LargeDataIsSpreadOverBuffers) {
  start();
  auto pair = world.open_from_host();
  std::string sent(100'000, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 3);
  write_now(pair.host, sent);
  world.settle();
  std::string got;
  for (const FakePacket& packet : world.to_guest()) {
    EXPECT_EQ(packet.header.length, packet.payload.size());
    EXPECT_LE(packet.payload.size(), FakeGuest::kReceiveBuffer - kHeaderSize);
    got += packet.payload;
  }
  EXPECT_TRUE(got == sent);
}

TEST_F(DeviceTest, GuestCallsTheHost) {
  start();
  const UniqueFd listener = world.host_listen(5000);
  const StreamKey key{.host_port = 5000, .guest_port = 99};
  world.from_guest(Operation::kRequest, key);
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kResponse);
  const UniqueFd host = world.host_accept(listener);
  ASSERT_TRUE(host);
  world.from_guest(Operation::kReadWrite, key, "hello");
  EXPECT_EQ(read_now(host), "hello") << "no handshake text on this side";
  write_now(host, "answer");
  world.settle();
  EXPECT_EQ(world.one_to_guest().payload, "answer");

  world.from_guest(Operation::kRequest, {.host_port = 5001, .guest_port = 99});
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset) << "nobody listens there";
  world.from_guest(Operation::kRequest, key);
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset) << "that connection exists";
}

TEST_F(DeviceTest, HostHalfCloseLeavesTheAnswerOpen) {
  start();
  auto pair = world.open_from_host();
  write_now(pair.host, "question");
  ::shutdown(pair.host.get(), SHUT_WR);
  world.settle();
  const std::vector<FakePacket> packets = world.to_guest();
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_EQ(packets[0].payload, "question");
  EXPECT_EQ(packets[1].header.operation, Operation::kShutdown);
  EXPECT_EQ(packets[1].header.flags, kShutdownSend);
  world.from_guest(Operation::kReadWrite, pair.key, "the answer");
  world.from_guest(Operation::kShutdown, pair.key, {}, kShutdownBoth);
  bool ended = false;
  EXPECT_EQ(read_now(pair.host, &ended), "the answer");
  EXPECT_TRUE(ended);
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset) << "answers the end of the connection";
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, GuestHalfCloseLeavesTheOtherWayOpen) {
  start();
  auto pair = world.open_from_host();
  world.from_guest(Operation::kReadWrite, pair.key, "last words");
  world.from_guest(Operation::kShutdown, pair.key, {}, kShutdownSend);
  bool ended = false;
  EXPECT_EQ(read_now(pair.host, &ended), "last words");
  EXPECT_TRUE(ended);
  write_now(pair.host, "still listening");
  world.settle();
  EXPECT_EQ(world.one_to_guest().payload, "still listening");
  pair.host.reset();
  world.settle();
  const FakePacket shutdown = world.one_to_guest();
  EXPECT_EQ(shutdown.header.operation, Operation::kShutdown);
  EXPECT_EQ(shutdown.header.flags, kShutdownBoth);
  world.from_guest(Operation::kReset, pair.key);
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, HostCloseIsASingleFullShutdown) {
  start();
  auto pair = world.open_from_host();
  write_now(pair.host, "bye");
  pair.host.reset();
  world.settle();
  const std::vector<FakePacket> packets = world.to_guest();
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_EQ(packets[0].payload, "bye");
  EXPECT_EQ(packets[1].header.flags, kShutdownBoth);
  EXPECT_EQ(world.device().stream_count(), 1U) << "until the guest has answered";
  world.from_guest(Operation::kReadWrite, pair.key, "too late");
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset);
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, GuestThatStopsReadingEndsThatDirectionOnly) {
  start();
  auto pair = world.open_from_host();
  world.from_guest(Operation::kShutdown, pair.key, {}, kShutdownReceive);
  EXPECT_EQ(::send(pair.host.get(), "x", 1, MSG_NOSIGNAL), -1);
  world.from_guest(Operation::kReadWrite, pair.key, "one way");
  EXPECT_EQ(read_now(pair.host), "one way");
}

TEST_F(DeviceTest, CreditOfTheGuestIsKept) {
  start();
  world.set_guest_credit(1000, 0);
  auto pair = world.open_from_host();
  write_now(pair.host, std::string(2500, 'a'));
  world.settle();
  EXPECT_EQ(world.one_to_guest().payload.size(), 1000U);
  world.settle();
  EXPECT_TRUE(world.to_guest().empty()) << "the guest's buffer is full";
  world.set_guest_credit(1000, 400);
  world.from_guest(Operation::kCreditUpdate, pair.key);
  EXPECT_EQ(world.one_to_guest().payload.size(), 400U);
  world.set_guest_credit(4000, 1000);
  world.from_guest(Operation::kCreditUpdate, pair.key);
  EXPECT_EQ(world.one_to_guest().payload.size(), 1100U);
  world.set_guest_credit(10, 500'000);
  world.from_guest(Operation::kCreditUpdate, pair.key);
  write_now(pair.host, "x");
  world.settle();
  EXPECT_TRUE(world.to_guest().empty()) << "a count that cannot be gives no credit";
}

TEST_F(DeviceTest, SlowHostReaderIsBufferedUpToTheAnnouncedSize) {
  start();
  auto pair = world.open_from_host();
  const std::string block(60'000, 'b');
  size_t sent = 0;
  std::vector<FakePacket> packets;
  uint32_t forwarded = 0;
  // A guest that obeys its credit: never more in flight than the buffer's size.
  for (int i = 0; i < 200; ++i) {
    if (sent + block.size() - forwarded <= Stream::kBufferSize) {
      world.from_guest(Operation::kReadWrite, pair.key, block);
      sent += block.size();
    }
    for (const FakePacket& packet : world.to_guest()) {
      EXPECT_EQ(packet.header.operation, Operation::kCreditUpdate);
      forwarded = packet.header.forwarded;
    }
  }
  EXPECT_GT(sent, size_t{Stream::kBufferSize} / 2);
  const size_t stuck = sent;
  std::string got = read_now(pair.host);
  world.settle();
  got += read_now(pair.host);
  world.settle();
  got += read_now(pair.host);
  EXPECT_EQ(got.size(), stuck);
  EXPECT_FALSE(world.to_guest().empty()) << "freed space is announced";
  // A guest that ignores its credit loses the connection.
  for (int i = 0; i < 40; ++i) world.from_guest(Operation::kReadWrite, pair.key, block);
  packets = world.to_guest();
  ASSERT_FALSE(packets.empty());
  EXPECT_EQ(packets.back().header.operation, Operation::kReset);
}

TEST_F(DeviceTest, CreditRequestIsAnswered) {
  start();
  auto pair = world.open_from_host();
  world.from_guest(Operation::kReadWrite, pair.key, "12345");
  world.from_guest(Operation::kCreditRequest, pair.key);
  const FakePacket update = world.one_to_guest();
  EXPECT_EQ(update.header.operation, Operation::kCreditUpdate);
  EXPECT_EQ(update.header.forwarded, 5U);
  EXPECT_EQ(update.header.buffer_size, Stream::kBufferSize);
}

TEST_F(DeviceTest, BytesOfAGuestThatHasGoneStillReachTheHost) {
  start();
  auto pair = world.open_from_host();
  const int small = 4096;
  ::setsockopt(pair.host.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  std::string sent;
  for (int i = 0; i < 7; ++i) {
    const std::string block(60'000, static_cast<char>('a' + i));
    world.from_guest(Operation::kReadWrite, pair.key, block);
    sent += block;
  }
  world.from_guest(Operation::kShutdown, pair.key, {}, kShutdownBoth);
  world.from_guest(Operation::kReset, pair.key);
  bool ended = false;
  std::string got;
  for (int i = 0; i < 50 && !ended; ++i) {
    got += read_now(pair.host, &ended);
    world.settle();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(got.size(), sent.size());
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(world.device().stream_count(), 0U);
}

TEST_F(DeviceTest, HostThatStopsReadingIsSaidToTheGuest) {
  start();
  auto pair = world.open_from_host();
  ::shutdown(pair.host.get(), SHUT_RD);
  world.from_guest(Operation::kReadWrite, pair.key, "unwanted");
  const FakePacket shutdown = world.one_to_guest();
  EXPECT_EQ(shutdown.header.operation, Operation::kShutdown);
  EXPECT_EQ(shutdown.header.flags, kShutdownReceive);
  EXPECT_EQ(shutdown.header.forwarded, 8U) << "what was dropped is off the credit";
  write_now(pair.host, "more");
  world.settle();
  EXPECT_EQ(world.one_to_guest().payload, "more");
}

TEST_F(DeviceTest, NothingIsSentWithoutBuffersAndNothingIsLost) {
  world.guest().start();
  const UniqueFd host = world.host_connect("CONNECT 1024\n");
  EXPECT_TRUE(world.to_guest().empty());
  world.guest().post_receive_buffers(2);
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kRequest);
}

TEST_F(DeviceTest, UnknownConnectionsAreReset) {
  start();
  struct Row {
    Operation operation;
    bool answered;
  };
  const std::vector<Row> rows = {{Operation::kResponse, true},
                                 {Operation::kReset, false},
                                 {Operation::kShutdown, true},
                                 {Operation::kReadWrite, true},
                                 {Operation::kCreditUpdate, true},
                                 {Operation::kCreditRequest, true},
                                 {Operation{0}, true},
                                 {Operation{99}, true}};
  for (const Row& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.operation));
    world.from_guest(row.operation, {.host_port = 5, .guest_port = 6});
    const std::vector<FakePacket> packets = world.to_guest();
    ASSERT_EQ(packets.size(), row.answered ? 1U : 0U);
    if (!row.answered) continue;
    EXPECT_EQ(packets[0].header.operation, Operation::kReset);
    EXPECT_EQ(packets[0].header.source_port, 5U);
    EXPECT_EQ(packets[0].header.destination_port, 6U);
  }
}

TEST_F(DeviceTest, PacketsOutOfOrderEndTheConnection) {
  start();
  const std::vector<Operation> rows = {Operation::kResponse, Operation::kRequest, Operation{0},
                                       Operation{42}};
  for (const Operation operation : rows) {
    SCOPED_TRACE(static_cast<int>(operation));
    auto pair = world.open_from_host();
    world.from_guest(operation, pair.key);
    EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset);
    bool ended = false;
    read_now(pair.host, &ended);
    EXPECT_TRUE(ended);
  }
}

TEST_F(DeviceTest, MalformedPacketsAreHarmless) {
  start();
  auto pair = world.open_from_host();
  FakeGuest& guest = world.guest();
  PacketHeader header{.source_cid = FakeGuest::kCid + 1,
                      .destination_cid = kHostCid,
                      .source_port = pair.key.guest_port,
                      .destination_port = pair.key.host_port,
                      .operation = Operation::kReset};
  guest.transmit(header);
  header.source_cid = FakeGuest::kCid;
  header.destination_cid = 7;
  guest.transmit(header);
  EXPECT_TRUE(world.to_guest().empty()) << "wrong addresses are dropped";
  // A packet shorter than a header.
  guest.transmit_ring().describe(0, kFakeGuestBase + 0x300000, 10, 0);
  guest.transmit_ring().offer(0);
  guest.kick(1);
  world.from_guest(Operation::kReadWrite, pair.key, "fine");
  EXPECT_EQ(read_now(pair.host), "fine") << "none of these ended the connection";

  header.destination_cid = kHostCid;
  header.operation = Operation::kReadWrite;
  header.length = 1000;
  guest.transmit(header, "only this");
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset) << "the length was a lie";
  header.type = 2;
  header.length = 0;
  guest.transmit(header);
  const FakePacket reset = world.one_to_guest();
  EXPECT_EQ(reset.header.operation, Operation::kReset);
  EXPECT_EQ(reset.header.type, 2);
}

TEST_F(DeviceTest, BrokenRingStopsUntilTheDriverStartsItAnew) {
  start();
  auto pair = world.open_from_host();
  world.guest().transmit_ring().offer(FakeGuest::kRingSize + 5);
  world.guest().kick(1);
  EXPECT_FALSE(world.device().guest_up());
  bool ended = false;
  read_now(pair.host, &ended);
  EXPECT_TRUE(ended);
  EXPECT_TRUE(world.running());
  world.guest().stop();
  world.guest().start_ring(0);
  world.guest().start_ring(1);
  EXPECT_TRUE(world.device().guest_up());
}

TEST_F(DeviceTest, GuestResetEndsItsConnectionsOnly) {
  start();
  auto pair = world.open_from_host();
  world.guest().stop();
  bool ended = false;
  read_now(pair.host, &ended);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(world.device().guest_up());
  const UniqueFd waiting = world.host_connect("CONNECT 3\n");
  EXPECT_EQ(world.device().stream_count(), 1U);
  world.guest().start_ring(0);
  world.guest().start_ring(1);
  world.guest().post_receive_buffers(8);
  const FakePacket request = world.one_to_guest();
  EXPECT_EQ(request.header.destination_port, 3U);
}

TEST_F(DeviceTest, MemoryTableMayChangeWhileConnectionsLive) {
  start();
  auto pair = world.open_from_host();
  world.guest().set_memory();
  EXPECT_TRUE(world.device().guest_up());
  world.from_guest(Operation::kReadWrite, pair.key, "still here");
  EXPECT_EQ(read_now(pair.host), "still here");
}

TEST_F(DeviceTest, EndsWithItsFrontEnd) {
  start();
  auto pair = world.open_from_host();
  world.guest().close_socket();
  world.settle();
  EXPECT_FALSE(world.running());
}

TEST_F(DeviceTest, HundredsOfStreamsAtOnce) {
  start();
  std::vector<DeviceHarness::Pair> pairs;
  for (uint32_t i = 0; i < 300; ++i) pairs.push_back(world.open_from_host(2000 + i));
  for (size_t i = 0; i < pairs.size(); ++i) write_now(pairs[i].host, "to " + std::to_string(i));
  world.settle();
  size_t packets = 0;
  for (int round = 0; round < 50 && packets < pairs.size(); ++round) {
    for (const FakePacket& packet : world.to_guest()) {
      ++packets;
      EXPECT_EQ(packet.payload, "to " + std::to_string(packet.header.destination_port - 2000));
    }
    world.settle();
  }
  EXPECT_EQ(packets, pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    world.from_guest(Operation::kReadWrite, pairs[i].key, std::to_string(i));
    EXPECT_EQ(read_now(pairs[i].host), std::to_string(i));
  }
}

TEST(DeviceLimitTest, StreamsBeyondTheLimitWaitOrAreReset) {
  DeviceHarness world(3);
  world.guest().start();
  world.guest().post_receive_buffers(32);
  const UniqueFd listener = world.host_listen(5000);
  std::vector<DeviceHarness::Pair> pairs;
  for (int i = 0; i < 3; ++i) pairs.push_back(world.open_from_host());
  world.from_guest(Operation::kRequest, {.host_port = 5000, .guest_port = 1});
  EXPECT_EQ(world.one_to_guest().header.operation, Operation::kReset);
  const UniqueFd waiting = world.host_connect("CONNECT 8\n");
  EXPECT_TRUE(world.to_guest().empty());
  world.from_guest(Operation::kReset, pairs[0].key);
  EXPECT_EQ(world.one_to_guest().header.destination_port, 8U) << "a place is free again";
}

TEST(DeviceLimitTest, FloodOfResetsWaitsForTheGuest) {
  DeviceHarness world;
  world.guest().start();
  for (uint32_t i = 0; i < 2000; ++i) {
    // Nothing is received meanwhile, and the transmit ring fills up.
    if (static_cast<uint16_t>(i) >= Switch::kMaxResets + 10) break;
    world.from_guest(Operation::kReadWrite, {.host_port = 1, .guest_port = i});
  }
  world.guest().post_receive_buffers(32);
  size_t resets = world.to_guest().size();
  for (int i = 0; i < 20; ++i) resets += world.to_guest().size();
  EXPECT_GE(resets, Switch::kMaxResets);
}

}  // namespace
}  // namespace kata::vsock_device
