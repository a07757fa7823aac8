// Conversions of OCI limits that both versions or tests need.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/oci/spec.h"

namespace kata::cgroup {

// cpu.shares 2..262144 to cpu.weight 1..10000.
uint64_t weight_of_shares(uint64_t shares);
// blkio weight 10..1000 to io.weight 1..10000.
uint64_t io_weight_of(uint64_t weight);
// "100000 50000": cpu.max of quota and period, absent and 0 = not given. Nothing when neither is given.
std::optional<std::string> cpu_max(const oci::CpuLimits& cpu);
// memory.swap.max: the OCI value counts memory and swap together. Nothing when not given. kInvalidArgument
// when swap is below the limit.
std::optional<std::string> swap_max(const oci::MemoryLimits& memory);
// A byte or count limit: negative = `unlimited`; absent and 0 = not given.
std::optional<std::string> limit_text(std::optional<int64_t> value, const char* unlimited);
// "2MB" as the kernel spells it in hugetlb file names; kInvalidArgument for anything but digits and a unit.
std::string huge_page_name(const std::string& size);

}  // namespace kata::cgroup
