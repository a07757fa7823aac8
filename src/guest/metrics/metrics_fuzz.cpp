// The kernel's statistics texts: every reader on the same bytes, and the writer on what they found.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/metrics/proc_text.h"
#include "guest/metrics/text_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::metrics;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  [[maybe_unused]] const auto stat = parse_process_stat(text);
  [[maybe_unused]] const auto load = parse_load(text);
  TextWriter out;
  out.family("x", "y", "gauge");
  for (const auto& items : {parse_status(text), parse_pairs(text), parse_meminfo(text)}) {
    for (const Item& item : items) out.sample(item.value, {{"item", item.name}});
  }
  for (const auto& groups : {parse_cpu_times(text, 100), parse_diskstats(text), parse_net_devices(text)}) {
    for (const Group& group : groups) {
      for (const Item& item : group.items) out.sample(item.value, {{"g", group.name}, {"item", item.name}});
    }
  }
  return 0;
}
