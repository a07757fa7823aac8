#include "lib/text/base64url.h"

#include <cstdint>

namespace kata {

std::string base64url(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  constexpr size_t kGroup = 3;
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += kGroup) {
    const std::string_view group = bytes.substr(at, kGroup);
    uint32_t value = 0;
    for (size_t i = 0; i < kGroup; ++i)
      value = value << 8 | (i < group.size() ? static_cast<uint8_t>(group[i]) : 0U);
    for (size_t i = 0; i <= kGroup; ++i)
      text += i <= group.size() ? kDigits[value >> (18 - 6 * i) & 0x3F] : '=';
  }
  return text;
}

}  // namespace kata
