// Something that an event makes pointless.
#pragma once

#include "lib/async/awaitable.h"
#include "lib/async/event.h"

namespace kata {

// Awaits `operation`, unless `event` is set or comes first: then the operation is cancelled, its end awaited,
// and false returned. An error of the operation and a cancellation from outside pass through. The event must
// outlive the call.
Awaitable<bool> unless(Event& event, Awaitable<> operation);

}  // namespace kata
