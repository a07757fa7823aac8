// The known name that a mistyped one was probably meant to be.
#pragma once

#include <span>
#include <string_view>

namespace kata::config {

// The candidate with the fewest edits (insert, delete, replace, swap of neighbours), "" when even that one
// needs more than a third of the name's length.
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace kata::config
