// The kernel command line and the configuration file: the first byte chooses.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/boot/agent_config.h"
#include "guest/boot/listener.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto config =
      data[0] % 2 == 0 ? kata::boot::parse_command_line(text) : kata::boot::parse_config_file(text);
  if (config) {
    [[maybe_unused]] const auto address = kata::boot::parse_listen_address(config->server_address);
  }
  return 0;
}
