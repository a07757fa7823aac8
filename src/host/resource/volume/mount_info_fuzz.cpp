#include <cstddef>
#include <cstdint>

#include "host/resource/volume/direct_volume.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto volume = kata::volume::parse_mount_info({reinterpret_cast<const char*>(data), size});
  return volume && volume->device.empty() ? 1 : 0;
}
