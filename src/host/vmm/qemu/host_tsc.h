// The frequency of this machine's time stamp counter. QEMU's emulation hands that counter to the guest as it
// is, and the guest measures it against an emulated timer: on a busy host that goes wrong by a factor of up
// to 30, and its clock, with every timeout in it, runs that much too fast. So the guest is told.
#pragma once

#include <cstdint>
#include <string>

namespace kata::vmm::qemu {

// A reading of the counter and of the monotonic clock (ns) at the same moment.
struct TscSample {
  uint64_t ticks = 0;
  uint64_t ns = 0;
};
TscSample take_tsc_sample();

// kHz between two samples; 0 if they are too close to each other (2 ms) or make no sense.
uint64_t tsc_khz(const TscSample& first, const TscSample& second);

// Since the start of this process; 0 = not known.
uint64_t host_tsc_khz();

// Adds the frequency to a kernel command line, as far as that does not set it already: for the clock
// (tsc_early_khz) and for the loops of pauses (lpj; kernel-parameters.txt). Without the second each vCPU but
// the first measures them when it is set online, against the same emulated timer: more than a second.
void add_tsc_frequency(std::string& command_line, uint64_t khz);

}  // namespace kata::vmm::qemu
