// The bytes are the guest's memory, rings included: whatever they say, pop() stays inside them and ends.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <tuple>
#include <vector>

#include "host/vsock_device/fake_ring.h"
#include "host/vsock_device/virtqueue.h"

namespace kata::vsock_device {
namespace {

constexpr uint32_t kSize = 16;
constexpr size_t kMemory = 8192;

void walk(Virtqueue& queue, Access access, const std::byte* begin) {
  std::vector<iovec> pieces;
  for (int i = 0; i < 64; ++i) {
    pieces.clear();
    const auto chain = queue.pop(access, pieces);
    if (!chain || !*chain) return;
    uint64_t bytes = 0;
    for (const iovec& piece : pieces) {
      const auto* data = static_cast<const std::byte*>(piece.iov_base);
      if (data < begin || data + piece.iov_len > begin + kMemory) std::abort();
      bytes += piece.iov_len;
    }
    if (bytes != (*chain)->bytes || pieces.size() > Virtqueue::kMaxPieces) std::abort();
    if (i % 3 == 2) queue.unpop(1);
    queue.push(**chain, 1);
    std::ignore = queue.publish();
    std::ignore = queue.arm_kick();
  }
}

}  // namespace
}  // namespace kata::vsock_device

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::vsock_device;
  if (size < 1) return 0;
  alignas(64) static std::array<std::byte, kMemory> memory;
  memory.fill(std::byte{0});
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 1, std::min(size - 1, kMemory), memory.begin());
  GuestMemory table;
  table.add_borrowed(
      {.guest_address = kFakeGuestBase, .size = kMemory / 2, .frontend_address = kFakeFrontendBase},
      memory.data());
  table.add_borrowed({.guest_address = kFakeGuestBase + kMemory / 2,
                      .size = kMemory / 2,
                      .frontend_address = kFakeFrontendBase + 0x100000},
                     memory.data() + kMemory / 2);
  const FakeRing ring(memory.data(), 0, kSize);
  Virtqueue queue(table, ring.layout(), 0, static_cast<RingFeature>(data[0] & 3));
  walk(queue, (data[0] & 4) != 0 ? Access::kDeviceWrites : Access::kDeviceReads, memory.data());
  return 0;
}
