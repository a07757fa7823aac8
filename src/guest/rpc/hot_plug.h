// CPUs, memory blocks and swap that were plugged: the kernel is told to use them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/async/awaitable.h"

namespace kata::rpc {

// Sets CPUs online until `total` are (0 = leaves CPUs alone). Waits up to 5 s for CPUs to appear; then
// kDeadlineExceeded. `system` is /sys/devices/system.
Awaitable<> online_cpus(std::string system, uint32_t total);
// Sets every offline memory block online.
void online_memory(const std::string& system);
// Writes each address to the probe file. kUnimplemented when the kernel has none.
void probe_memory(const std::string& system, const std::vector<uint64_t>& addresses);

// Number of CPUs in a list like "0-3,7". 0 when it is none.
uint32_t count_cpu_list(std::string_view list);

}  // namespace kata::rpc
