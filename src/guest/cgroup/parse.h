// Texts of cgroup files. All of them come from the kernel, yet nothing here trusts their form.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "guest/cgroup/stats.h"

namespace kata::cgroup {

// "123\n"; "max" is UINT64_MAX.
std::optional<uint64_t> parse_number(std::string_view text);
// Numbers separated by white space, like cpuacct.usage_percpu. Ends at the first word that is none.
std::vector<uint64_t> parse_numbers(std::string_view text);
// cgroup.procs.
std::vector<pid_t> parse_pids(std::string_view text);
// "key value" lines, like memory.stat and cgroup.events. Lines of another form are left out.
std::map<std::string, uint64_t> parse_keyed(std::string_view text);
// v2 io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...".
void parse_io_stat(std::string_view text, BlockIoStats& stats);
// v1 blkio.*: "8:0 Read 4096"; lines without a device ("Total 4096") are left out.
std::vector<BlockIoEntry> parse_blkio(std::string_view text);

}  // namespace kata::cgroup
