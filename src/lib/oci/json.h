// config.json, process.json and LinuxResources JSON to plain types.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "lib/error/error.h"
#include "lib/oci/spec.h"

namespace kata::oci {

// Unknown keys are ignored (the specification demands it); a wrong type, a number out of range or nesting
// deeper than 64 is kInvalidArgument with the JSON path ("linux.resources.memory.limit: expected a number,
// found a string"). Input above 16 MiB is refused.
std::expected<Spec, Error> parse_spec(std::string_view json);
std::expected<Process, Error> parse_process(std::string_view json);
std::expected<Resources, Error> parse_resources(std::string_view json);

// Reads <bundle>/config.json. Throws Error naming the path.
Spec load_spec(const std::string& bundle);

}  // namespace kata::oci
