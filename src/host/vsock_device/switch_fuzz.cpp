// A guest and host programs that do whatever the bytes say: packets with any header over rings with any
// descriptors, connections, data, half closes, the passing of time. Nothing may crash, hang or grow without
// bound.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <tuple>
#include <vector>

#include "host/vsock_device/fake_ring.h"
#include "host/vsock_device/switch.h"

namespace kata::vsock_device {
namespace {

constexpr uint32_t kSize = 16;
constexpr size_t kMemory = 65536;
constexpr uint64_t kReceiveBuffers = 0x4000;
constexpr uint64_t kTransmitBuffers = 0x8000;
constexpr uint32_t kCid = 42;
constexpr size_t kMaxStreams = 8;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  uint8_t byte() {
    if (bytes_.empty()) return 0;
    const uint8_t value = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return value;
  }
  uint32_t word() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class World : public HostSide {
 public:
  World() {
    table_.add_borrowed(
        {.guest_address = kFakeGuestBase, .size = kMemory, .frontend_address = kFakeFrontendBase},
        memory_.data());
    for (uint16_t i = 0; i < kSize; ++i) {
      receive_.describe(i, kFakeGuestBase + kReceiveBuffers + 256ULL * i, 256, kFakeWrite);
      receive_.offer(i);
    }
    start();
  }

  UniqueFd connect(uint32_t port) override {
    if (port % 4 == 3) return {};
    return host_end();
  }
  void watch(Stream& stream) override { streams_.push_back(&stream); }

  void step(Input& input) {
    switch (input.byte() % 12) {
      case 0:
        return connect_host(input);
      case 1:
        return packet(input, 0);
      case 2:
        return packet(input, input.byte());
      case 3:
        return write_host(input);
      case 4:
        return read_host(input);
      case 5:
        return shut_host(input);
      case 6:
        return receive_.offer(input.byte());
      case 7:
        memory_[input.word() % kMemory] = static_cast<std::byte>(input.byte());
        return;
      case 8:
        switch_.tick(now_ += std::chrono::seconds(input.byte()));
        return;
      case 9:
        return event(input);
      case 10:
        switch_.guest_down();
        return start();
      default:
        return transmit_.describe(input.byte() % kSize, kFakeGuestBase + input.word() % 0x20000, input.word(),
                                  input.byte(), input.byte());
    }
  }

  void pump() {
    for (int round = 0; round < 4; ++round) {
      if (!tx_ || !rx_) break;
      if (!switch_.drain(*tx_)) tx_.reset();
      if (!switch_.fill(*rx_)) rx_.reset();
    }
    std::erase_if(streams_, [](const Stream* stream) { return stream->state() == Stream::State::kDone; });
    switch_.sweep();
    if (switch_.stream_count() > kMaxStreams) std::abort();
  }

 private:
  void start() {
    rx_.emplace(table_, receive_.layout(), rx_ ? rx_->next() : uint16_t{0}, RingFeature::kBoth);
    tx_.emplace(table_, transmit_.layout(), tx_ ? tx_->next() : transmit_.offered(), RingFeature::kBoth);
    switch_.guest_up();
  }
  UniqueFd host_end() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) std::abort();
    hosts_.emplace_back(ends[1]);
    if (hosts_.size() > 16) hosts_.erase(hosts_.begin());
    return UniqueFd(ends[0]);
  }
  void connect_host(Input& input) {
    UniqueFd end = host_end();
    const std::string line =
        "CONNECT " + std::to_string(input.byte() % 4) + (input.byte() % 8 != 0 ? "\n" : "");
    std::ignore = ::send(hosts_.back().get(), line.data(), line.size(), MSG_NOSIGNAL);
    switch_.add_host_connection(std::move(end));
  }
  int host(Input& input) {
    const uint8_t index = input.byte();
    return hosts_.empty() ? -1 : hosts_[index % hosts_.size()].get();
  }
  void write_host(Input& input) {
    static const std::array<char, 4096> kData{};
    std::ignore = ::send(host(input), kData.data(), kData.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void read_host(Input& input) {
    static std::array<char, 65536> data;
    std::ignore = ::recv(host(input), data.data(), data.size(), MSG_DONTWAIT);
  }
  void shut_host(Input& input) {
    const uint8_t how = input.byte() % 4;
    const uint8_t index = input.byte();
    if (hosts_.empty()) return;
    if (how == 3)
      hosts_.erase(hosts_.begin() + index % static_cast<ptrdiff_t>(hosts_.size()));
    else
      ::shutdown(hosts_[index % hosts_.size()].get(), how);
  }
  void event(Input& input) {
    const uint8_t index = input.byte();
    const uint32_t events = input.byte() | (static_cast<uint32_t>(input.byte()) << 8);
    if (!streams_.empty()) switch_.on_event(*streams_[index % streams_.size()], events);
  }
  // A packet of the guest; `noise` spoils fields that are right otherwise.
  void packet(Input& input, uint8_t noise) {
    PacketHeader header{.source_cid = kCid,
                        .destination_cid = kHostCid,
                        .source_port = input.byte() % 4U,
                        .destination_port = input.byte() % 4U,
                        .operation = static_cast<Operation>(input.byte() % 9),
                        .flags = input.byte(),
                        .buffer_size = input.word(),
                        .forwarded = input.byte()};
    if (header.flags % 2 == 0) header.destination_port += 1U << 30;
    const uint32_t payload = input.byte() * 8U;
    header.length = (noise & 1) != 0 ? input.word() : payload;
    if ((noise & 2) != 0) header.source_cid = input.byte();
    if ((noise & 4) != 0) header.type = input.byte();
    const HeaderBytes bytes = encode(header);
    std::copy(bytes.begin(), bytes.end(), memory_.begin() + kTransmitBuffers);
    const uint16_t slot = transmit_.offered() % kSize;
    if ((noise & 8) == 0)
      transmit_.describe(slot, kFakeGuestBase + kTransmitBuffers,
                         (noise & 16) != 0 ? input.byte() : kHeaderSize + payload, 0);
    transmit_.offer(slot);
  }

  alignas(64) std::array<std::byte, kMemory> memory_{};
  GuestMemory table_;
  FakeRing receive_{memory_.data(), 0, kSize};
  FakeRing transmit_{memory_.data(), 0x2000, kSize};
  std::optional<Virtqueue> rx_;
  std::optional<Virtqueue> tx_;
  std::vector<UniqueFd> hosts_;
  std::vector<Stream*> streams_;
  TimePoint now_{};
  Switch switch_{kCid, *this, kMaxStreams};
};

}  // namespace
}  // namespace kata::vsock_device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::vsock_device;
  World world;
  Input input(data, std::min<size_t>(size, 4096));
  while (!input.empty()) {
    world.step(input);
    world.pump();
  }
  return 0;
}
