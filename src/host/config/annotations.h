// io.katacontainers.config.*: how a pod changes its configuration.
#pragma once

#include "host/config/cri_annotations.h"
#include "host/config/table_reader.h"

namespace kata::config {

inline constexpr std::string_view kAnnotationPrefix = "io.katacontainers.config.";

// runtime.hypervisor_name and runtime.agent_name: honoured if the file has such a table, else ignored with a
// warning.
void apply_table_annotations(const Annotations& annotations, Tables& tables, Problems& problems);

// All others, on the two active tables and [runtime]. Those of the hypervisor need a match in
// enable_annotations: POSIX extended regular expressions (regex(7), with the GNU classes \w and \s), searched
// for anywhere in the name, so that "path" lets jailer_path through as well.
void apply_annotations(const Annotations& annotations, Tables& tables, Problems& problems);

// MiB of "2048", "512MiB", "2 Gi", "1GB" (a bare number counts MiB; K, M, G, T with i are powers of 1024,
// without powers of 1000; B at the end is optional). None when it is nothing like that or does not fit.
std::optional<uint32_t> parse_memory_mib(std::string_view text);

}  // namespace kata::config
