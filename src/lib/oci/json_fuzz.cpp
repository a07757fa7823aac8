// Any bytes: the three readers answer with a value or an Error, never otherwise.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/oci/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  (void)kata::oci::parse_spec(json);
  (void)kata::oci::parse_process(json);
  (void)kata::oci::parse_resources(json);
  return 0;
}
