#include <cstddef>
#include <cstdint>

#include "lib/oci/cdi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto spec = kata::oci::parse_cdi_spec({reinterpret_cast<const char*>(data), size});
  return spec && spec->kind.size() > size ? 1 : 0;
}
