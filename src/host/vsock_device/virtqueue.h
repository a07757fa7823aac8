// The device's side of one split virtqueue (virtio 1.2, section 2.7), with indirect descriptors and event
// indexes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <sys/uio.h>
#include <vector>

#include "host/vsock_device/guest_memory.h"
#include "lib/error/error.h"

namespace kata::vsock_device {

// Where the ring lies; addresses are the front-end's, as SET_VRING_ADDR gives them.
struct RingLayout {
  uint32_t size = 0;
  uint64_t descriptors = 0;
  uint64_t available = 0;
  uint64_t used = 0;
};

// A buffer of the driver: descriptor chain `head`, its memory is pieces [first, first + count) of the vector
// that it was taken into.
struct Chain {
  uint16_t head = 0;
  size_t first = 0;
  size_t count = 0;
  uint64_t bytes = 0;
};

// What the driver lets the device do with a buffer. The two queues of vsock that carry packets never mix.
enum class Access { kDeviceReads, kDeviceWrites };

enum class RingFeature : uint8_t { kNone = 0, kEventIndex = 1, kIndirect = 2, kBoth = 3 };

// All of the ring is hostile: each value is read once and checked; a walk visits at most as many descriptors
// as its table has. A ring that breaks the rules yields an Error and must not be used any more.
class Virtqueue {
 public:
  static constexpr uint32_t kMaxSize = 32768;
  // Most pieces of one chain.
  static constexpr size_t kMaxPieces = 256;

  // `next` is the index in the available ring to go on from. Throws kInvalidArgument when the layout is
  // misaligned, no power of two, or outside of `memory`, which must outlive the queue.
  Virtqueue(const GuestMemory& memory, const RingLayout& layout, uint16_t next, RingFeature features);

  // Takes the next buffer and appends its memory to `pieces`; none when the driver has put no more there.
  std::expected<std::optional<Chain>, Error> pop(Access access, std::vector<iovec>& pieces);
  // Gives the last `count` popped buffers back untouched: they are popped again in the same order.
  void unpop(uint16_t count) { next_ = static_cast<uint16_t>(next_ - count); }
  // Hands a buffer back with `written` bytes in it; seen by the driver after publish().
  void push(const Chain& chain, uint32_t written);
  // Shows the pushed buffers to the driver. True when the driver wants an interrupt for them.
  [[nodiscard]] bool publish();
  // Asks the driver for a kick at its next buffer. True when buffers came in meanwhile: pop again instead of
  // waiting.
  [[nodiscard]] bool arm_kick();

  // Index of the next available entry: what GET_VRING_BASE answers.
  [[nodiscard]] uint16_t next() const { return next_; }

 private:
  // The table a walk is in: the ring's own or an indirect one.
  struct Table {
    const std::byte* base = nullptr;
    uint32_t count = 0;
    bool indirect = false;
  };
  std::expected<void, Error> walk(uint16_t head, Access access, std::vector<iovec>& pieces, Chain& chain);
  std::expected<Table, Error> enter_indirect(uint64_t address, uint32_t length, uint16_t flags,
                                             const Table& from) const;
  [[nodiscard]] std::byte* available_slot(uint32_t slot) const { return available_ + 4 + 2 * slot; }
  [[nodiscard]] std::byte* used_slot(uint32_t slot) const { return used_ + 4 + 8 * slot; }

  const GuestMemory& memory_;
  uint32_t size_;
  bool event_index_;
  bool indirect_;
  std::byte* descriptors_;
  std::byte* available_;
  std::byte* used_;
  uint16_t next_;
  uint16_t used_index_ = 0;
  uint16_t published_ = 0;
};

}  // namespace kata::vsock_device
