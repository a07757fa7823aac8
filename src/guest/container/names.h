// Words of the OCI specification as the kernel's numbers. An unknown word is kInvalidArgument that names it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kata::container {

// Bits of "CAP_SYS_ADMIN", ...
uint64_t capability_bits(const std::vector<std::string>& names);
// RLIMIT_* of "RLIMIT_NOFILE".
int rlimit_number(std::string_view name);
// CLONE_NEW* of "pid", "mount", ...
uint64_t namespace_flag(std::string_view name);
// MS_* of "rshared"; 0 for an empty word.
uint64_t propagation_flags(std::string_view name);
// SCHED_* and SCHED_FLAG_* of "SCHED_BATCH", "SCHED_FLAG_RESET_ON_FORK".
uint32_t scheduler_policy(std::string_view name);
uint64_t scheduler_flags(const std::vector<std::string>& names);
// ioprio_set(2) value of class "IOPRIO_CLASS_BE" and a level 0..7.
uint32_t io_priority(std::string_view io_class, int32_t priority);
// PER_* of "LINUX32"; the prefix "PER_" is taken too.
uint64_t personality_number(std::string_view name);
// CPU numbers of a list like "0-2,5". At most 1024.
std::vector<uint32_t> cpu_list(std::string_view text);

}  // namespace kata::container
