#include <cstddef>
#include <cstdint>

#include "host/resource/network/direct.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto network = kata::network::parse_direct_network({reinterpret_cast<const char*>(data), size}, 1);
  if (!network) return 0;
  for (const kata::network::Endpoint& endpoint : network->plan.endpoints) {
    if (endpoint.link.empty() || endpoint.interface.mac.size() != 17 || endpoint.queues == 0)
      __builtin_trap();
  }
  return 0;
}
