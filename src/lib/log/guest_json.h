// The line format of a Kata guest's log port.
#pragma once

#include <string>

#include "lib/log/log.h"

namespace kata::log {

// What readers of that port expect: level as four letters, the time as "ts", always a name, a source and a
// subsystem. Ends in a line feed; escaped as format_json does.
std::string format_guest_json(const Record& record);

}  // namespace kata::log
