#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/linux/route_netlink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::kernel;
  std::vector<NetlinkAnswer> answers;
  bool interrupted = false;
  split_datagram({reinterpret_cast<const char*>(data), size}, 1, answers, interrupted);
  links_from(answers);
  addresses_from(answers);
  routes_from(answers);
  neighbours_from(answers);
  return 0;
}
