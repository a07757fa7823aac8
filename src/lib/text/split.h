// Words between separators.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata {

// The parts of `text` that are not empty: "a,,b," → a, b.
std::vector<std::string> split_words(std::string_view text, char separator);

}  // namespace kata
