#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/container/plan.h"

// What is taken encodes to bytes that decode to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto plan = kata::container::decode_plan(bytes);
  if (!plan) return 0;
  const std::string first = kata::container::encode_plan(*plan);
  const auto again = kata::container::decode_plan(first);
  if (!again || kata::container::encode_plan(*again) != first) __builtin_trap();
  return 0;
}
