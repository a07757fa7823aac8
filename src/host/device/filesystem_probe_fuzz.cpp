#include <cstddef>
#include <cstdint>

#include "host/device/filesystem_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto info =
      kata::device::probe_filesystem(std::string_view(reinterpret_cast<const char*>(data), size));
  return info && info->type.empty() ? 1 : 0;
}
