// The text that GetMetrics answers: the families of the original agent (agent-api, section 10).
#pragma once

#include <cstdint>
#include <string>

namespace kata::metrics {

// Reads `proc` ("/proc"; tests: a folder like it) and asks the mounted file systems for their figures. What
// cannot be read is left out: a scrape never fails. `scrapes` counts this one.
std::string collect(const std::string& proc, uint64_t scrapes);

}  // namespace kata::metrics
