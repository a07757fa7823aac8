// How the guest ends.
#pragma once

namespace kata::boot {

// sync(2), then powers the machine off. Only for pid 1; returns only if the kernel refuses.
void power_off();

}  // namespace kata::boot
