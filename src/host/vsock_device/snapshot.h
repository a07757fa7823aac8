// Reads and writes of memory that another side changes at the same time.
//
// Everything the guest wrote is little-endian and hostile: a value is copied out exactly once, and only the
// copy is checked and used.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace kata::vsock_device {

template <typename T>
constexpr T little_endian(T value) {
  if constexpr (std::endian::native == std::endian::big) return std::byteswap(value);
  return value;
}

// A copy of the object at `source` (any alignment) that the compiler cannot read again from there.
template <typename T>
T snapshot(const std::byte* source) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, source, sizeof(T));
  asm volatile("" : "+m"(value));
  return value;
}

// A 16-bit ring index (2-aligned), ordered against the ring contents that it announces.
inline uint16_t load_index(const std::byte* source) {
  const auto* cell = reinterpret_cast<const uint16_t*>(source);
  return little_endian(__atomic_load_n(cell, __ATOMIC_ACQUIRE));
}

inline void store_index(std::byte* target, uint16_t value) {
  auto* cell = reinterpret_cast<uint16_t*>(target);
  __atomic_store_n(cell, little_endian(value), __ATOMIC_RELEASE);
}

// Stores before, loads after: both sides of the "publish, then look whether the other waits" protocol.
inline void full_barrier() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace kata::vsock_device
