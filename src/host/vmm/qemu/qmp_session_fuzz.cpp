// Any bytes from a VMM: the session neither crashes nor grows, and a split input means the same as a whole
// one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "host/vmm/qemu/qmp_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kata::vmm::qemu::QmpSession;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  QmpSession whole, split;
  const auto at_once = whole.feed(bytes);
  const size_t middle = size == 0 ? 0 : data[0] % (size + 1);
  const auto first = split.feed(bytes.substr(0, middle));
  const auto second = split.feed(bytes.substr(middle));
  const bool good = first && second;
  if (good != at_once.has_value()) std::abort();
  if (good && at_once->size() != first->size() + second->size()) std::abort();
  return 0;
}
