// The kernel's CPU list format: "0-3,7" (Documentation/admin-guide/cputopology.rst).
#pragma once

#include <cstdint>
#include <string_view>

namespace kata::config {

// How many CPUs such a list names; 0 for an empty one and for text that is no list. Overlaps count twice, as
// nobody writes them.
uint32_t count_cpus(std::string_view list);

}  // namespace kata::config
