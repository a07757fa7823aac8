#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "host/shim/bootstrap.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kata::shim::Flags flags;
  flags.id = "c1";
  flags.containerd_namespace = "k8s.io";
  const auto bootstrap =
      kata::shim::parse_bootstrap(std::string_view(reinterpret_cast<const char*>(data), size), flags);
  if (kata::shim::format_answer(bootstrap, "unix:///s").empty()) std::abort();
  return 0;
}
