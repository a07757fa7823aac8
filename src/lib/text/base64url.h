// base64 with the URL alphabet and padding (RFC 4648, section 5).
#pragma once

#include <string>
#include <string_view>

namespace kata {

std::string base64url(std::string_view bytes);

}  // namespace kata
