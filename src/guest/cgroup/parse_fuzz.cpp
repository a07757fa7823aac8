#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/cgroup/cgroup.h"
#include "guest/cgroup/parse.h"
#include "lib/error/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::cgroup;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  parse_number(text);
  parse_numbers(text);
  for (const pid_t pid : parse_pids(text)) {
    if (pid <= 0) __builtin_trap();
  }
  parse_keyed(text);
  BlockIoStats stats;
  parse_io_stat(text, stats);
  parse_blkio(text);
  try {
    const std::string path = path_of(text, "id");
    if (!path.starts_with('/') || (path + "/").find("/../") != std::string::npos) __builtin_trap();
  } catch (const kata::Error&) {
    return 0;
  }
  return 0;
}
