// For tests and fuzz targets: the driver's side of a split virtqueue in memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "host/vsock_device/virtqueue.h"

namespace kata::vsock_device {

// Where fake guests have their memory, and what the front-end calls the same place.
constexpr uint64_t kFakeGuestBase = 0x100000;
constexpr uint64_t kFakeFrontendBase = 0x7f0000000000;

constexpr uint16_t kFakeNext = 1;
constexpr uint16_t kFakeWrite = 2;
constexpr uint16_t kFakeIndirect = 4;

class FakeRing {
 public:
  struct Used {
    uint32_t id = 0;
    uint32_t length = 0;
  };

  // `memory` is the start of the guest's memory, the ring lies at `offset` in it (16-aligned).
  FakeRing(std::byte* memory, uint64_t offset, uint32_t size)
      : memory_(memory), offset_(offset), size_(size) {}

  static uint64_t bytes(uint32_t size) {
    return (16ULL * size + 6 + 2ULL * size + 63) / 64 * 64 + 6 + 8ULL * size;
  }
  [[nodiscard]] RingLayout layout() const {
    return {.size = size_,
            .descriptors = kFakeFrontendBase + offset_,
            .available = kFakeFrontendBase + available(),
            .used = kFakeFrontendBase + used()};
  }
  [[nodiscard]] uint32_t size() const { return size_; }

  void describe(uint32_t index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next = 0) {
    describe_at(offset_ + 16ULL * index, address, length, flags, next);
  }
  // A descriptor anywhere in memory: a part of an indirect table.
  void describe_at(uint64_t where, uint64_t address, uint32_t length, uint16_t flags, uint16_t next = 0) {
    put(where, address);
    put(where + 8, length);
    put(where + 12, flags);
    put(where + 14, next);
  }
  // Puts the chain into the available ring.
  void offer(uint16_t head) {
    put(available() + 4 + 2ULL * (next_ % size_), head);
    set_available_index(++next_);
  }
  void set_available_index(uint16_t index) { put(available() + 2, index); }
  [[nodiscard]] uint16_t offered() const { return next_; }
  // The next buffer that the device has handed back.
  std::optional<Used> take_used() {
    if (get<uint16_t>(used() + 2) == seen_) return std::nullopt;
    const uint64_t slot = used() + 4 + 8ULL * (seen_++ % size_);
    return Used{.id = get<uint32_t>(slot), .length = get<uint32_t>(slot + 4)};
  }
  [[nodiscard]] uint16_t seen() const { return seen_; }
  // Event indexes: when the driver wants its next interrupt, when the device wants its next kick.
  void set_used_event(uint16_t index) { put(available() + 4 + 2ULL * size_, index); }
  void set_no_interrupt(uint16_t flags) { put(available(), flags); }
  [[nodiscard]] uint16_t available_event() const { return get<uint16_t>(used() + 4 + 8ULL * size_); }

 private:
  [[nodiscard]] uint64_t available() const { return offset_ + 16ULL * size_; }
  [[nodiscard]] uint64_t used() const { return (available() + 6 + 2ULL * size_ + 63) / 64 * 64; }
  template <typename T>
  void put(uint64_t offset, T value) {
    std::memcpy(memory_ + offset, &value, sizeof(value));
  }
  template <typename T>
  [[nodiscard]] T get(uint64_t offset) const {
    T value;
    std::memcpy(&value, memory_ + offset, sizeof(value));
    return value;
  }

  std::byte* memory_;
  uint64_t offset_;
  uint32_t size_;
  uint16_t next_ = 0;
  uint16_t seen_ = 0;
};

}  // namespace kata::vsock_device
