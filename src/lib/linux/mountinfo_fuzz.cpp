#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/linux/mount.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto entries = kata::kernel::parse_mountinfo(text);
  if (!entries && entries.error().message().empty()) __builtin_trap();
  return 0;
}
