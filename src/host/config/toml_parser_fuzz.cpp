// Any bytes as configuration.toml: the load ends with a Config or an Error.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "host/config/guest_command_line.h"
#include "host/config/load.h"
#include "host/config/sizing.h"
#include "lib/error/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::config;
  auto root = parse_toml({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
  if (!root) return 0;
  LoadRequest request;
  request.host = {.cpus = 4, .memory_mib = 4096};
  try {
    const Config config = resolve({.root = *std::move(root), .path = "fuzz.toml", .warnings = {}}, request);
    (void)size_vm(config, {.vcpus = 1, .memory_mib = 256}, request.host);
    (void)guest_command_line(config);
  } catch (const kata::Error&) {
  }
  return 0;
}
