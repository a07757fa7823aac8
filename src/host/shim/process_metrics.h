// Figures of one process in Prometheus' text format, read from /proc (proc(5)).
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

namespace kata::shim {

// The gauges <prefix>_threads, _fds, _proc_status{item}, _proc_stat{item} and _io_stat{item} under the names
// that dashboards of Kata Containers use. What /proc does not tell (any more) is left out. `proc` is /proc,
// or a test's copy.
std::string process_metrics(std::string_view prefix, pid_t pid, const std::string& proc = "/proc");

}  // namespace kata::shim
