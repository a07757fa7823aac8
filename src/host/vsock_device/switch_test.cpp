// What the device tests cannot reach: the passing of time, and the switch on its own.
#include "host/vsock_device/switch.h"

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "host/vsock_device/fake_ring.h"
#include "lib/error/error.h"

namespace kata::vsock_device {
namespace {

using std::chrono_literals::operator""s;

constexpr uint32_t kSize = 16;
constexpr size_t kMemory = 65536;

class SwitchTest : public testing::Test, public HostSide {
 protected:
  SwitchTest() {
    table.add_borrowed(
        {.guest_address = kFakeGuestBase, .size = kMemory, .frontend_address = kFakeFrontendBase},
        memory.data());
    for (uint16_t i = 0; i < kSize; ++i) {
      receive.describe(i, kFakeGuestBase + 0x4000 + 256ULL * i, 256, kFakeWrite);
      receive.offer(i);
    }
    rx.emplace(table, receive.layout(), uint16_t{0}, RingFeature::kBoth);
    packets.guest_up();
  }
  UniqueFd connect(uint32_t) override { return {}; }
  void watch(Stream& stream) override { last = &stream; }

  UniqueFd connect_host() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
      throw_errno("socket pair");
    UniqueFd host(ends[1]);
    if (::send(host.get(), "CONNECT 7\n", 10, MSG_NOSIGNAL) != 10) throw_errno("sending");
    packets.add_host_connection(UniqueFd(ends[0]));
    return host;
  }
  // The next packet's header in the receive ring; a header of operation 0 if there is none.
  PacketHeader next() {
    EXPECT_TRUE(packets.fill(*rx));
    const auto used = receive.take_used();
    if (!used) return {.operation = Operation{}};
    HeaderBytes bytes;
    std::copy_n(memory.data() + 0x4000 + 256ULL * used->id, bytes.size(), bytes.begin());
    receive.offer(static_cast<uint16_t>(used->id));
    return decode(bytes);
  }

  alignas(64) std::array<std::byte, kMemory> memory{};
  GuestMemory table;
  FakeRing receive{memory.data(), 0, kSize};
  std::optional<Virtqueue> rx;
  Stream* last = nullptr;
  Switch packets{42, *this, 8};
};

TEST_F(SwitchTest, GuestThatNeverAnswersTheEndIsReset) {
  packets.tick(TimePoint{} + 100s);
  UniqueFd host = connect_host();
  const PacketHeader request = next();
  ASSERT_EQ(request.operation, Operation::kRequest);
  const PacketHeader response{.source_cid = 42,
                              .destination_cid = kHostCid,
                              .source_port = 7,
                              .destination_port = request.source_port,
                              .operation = Operation::kResponse,
                              .buffer_size = 1024};
  ASSERT_TRUE(last->take(response, {}));
  host.reset();
  packets.on_event(*last, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
  EXPECT_FALSE(packets.next_expiry());
  EXPECT_EQ(next().operation, Operation::kShutdown);
  ASSERT_TRUE(packets.next_expiry());
  EXPECT_EQ(*packets.next_expiry(), TimePoint{} + 100s + Switch::kCloseTimeout);
  packets.tick(TimePoint{} + 107s);
  EXPECT_EQ(packets.stream_count(), 1U);
  packets.tick(TimePoint{} + 108s);
  EXPECT_EQ(packets.stream_count(), 0U);
  EXPECT_EQ(next().operation, Operation::kReset);
  EXPECT_FALSE(packets.next_expiry());
  packets.sweep();
}

TEST_F(SwitchTest, EventsOfAStreamThatHasEndedAreHarmless) {
  UniqueFd host = connect_host();
  EXPECT_EQ(next().operation, Operation::kRequest);
  Stream* stream = last;
  packets.on_event(*stream, EPOLLHUP);
  EXPECT_EQ(packets.stream_count(), 0U);
  packets.on_event(*stream, EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR);
  packets.sweep();
}

TEST_F(SwitchTest, StreamsTakeTurns) {
  std::array<UniqueFd, 3> hosts;
  std::array<PacketHeader, 3> requests;
  for (size_t i = 0; i < hosts.size(); ++i) {
    hosts[i] = connect_host();
    requests[i] = next();
    ASSERT_TRUE(last->take({.source_port = 7,
                            .destination_port = requests[i].source_port,
                            .operation = Operation::kResponse,
                            .buffer_size = 1 << 20},
                           {}));
    const std::string flood(20'000, 'x');
    ASSERT_EQ(::send(hosts[i].get(), flood.data(), flood.size(), MSG_NOSIGNAL | MSG_DONTWAIT), 20'000);
    packets.on_event(*last, EPOLLIN);
  }
  // Each has some 90 packets to send; a turn fills the ring of 16 buffers at most.
  std::map<uint32_t, int> packets_of;
  for (int i = 0; i < 60; ++i) ++packets_of[next().source_port];
  for (const PacketHeader& request : requests) EXPECT_GT(packets_of[request.source_port], 0);
}

}  // namespace
}  // namespace kata::vsock_device
