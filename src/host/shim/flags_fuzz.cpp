// Command lines: words separated by zero bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "host/shim/flags.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    words.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  const auto flags = kata::shim::parse_flags(words);
  if (!flags && flags.error().message().empty()) std::abort();
  return 0;
}
