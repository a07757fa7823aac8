// Named places at which a test makes the product fail. Only builds for tests have them (KATA_FAILPOINTS, the
// preset `faults`): elsewhere KATA_FAILPOINT is nothing, and neither a name nor a line of this is in a
// program.
//
// The variable KATA_FAILPOINTS_DIR names a folder. A point whose name is a file there does what the file
// says:
//
//   error CODE TEXT   throws kata::Error; CODE is the number of a status code (lib/error)
//   delay MS          waits, then goes on
//   hold              waits until the file is removed, a minute at most, then goes on
//   crash             ends the process at once, as kill -9 does
//
// Before that it makes the empty file NAME.reached, so that a test knows when the product has come there.
#pragma once

#ifdef KATA_FAILPOINTS

#include <string>

#include "lib/async/awaitable.h"

namespace kata::failpoint {

// What the macro below calls. Point names: letters, digits, '.' and '-'.
Awaitable<> reach(std::string point);

}  // namespace kata::failpoint

// In a coroutine, as a statement.
#define KATA_FAILPOINT(name) co_await ::kata::failpoint::reach(name)

#else

#define KATA_FAILPOINT(name) static_cast<void>(0)

#endif
