#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/device/pci_path.h"
#include "guest/device/uevent.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  [[maybe_unused]] const auto event = kata::device::parse_uevent(bytes);
  [[maybe_unused]] const auto path = kata::device::parse_pci_path(bytes);
  return 0;
}
