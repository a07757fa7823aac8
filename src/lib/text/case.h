// Letter case of ASCII.
#pragma once

#include <string>
#include <string_view>

namespace kata {

std::string lower_case(std::string_view text);

}  // namespace kata
