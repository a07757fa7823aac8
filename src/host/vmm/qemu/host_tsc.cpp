#include "host/vmm/qemu/host_tsc.h"

#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace kata::vmm::qemu {
namespace {

constexpr uint64_t kShortestNs = 2'000'000;
// Of Debian's kernels (CONFIG_HZ). With another one pauses are longer or shorter by that factor, which the
// devices of a VM do not mind.
constexpr uint64_t kJiffiesPerSecond = 250;
// What the kernel would take for a frequency.
constexpr uint64_t kLowestKhz = 100'000, kHighestKhz = 20'000'000;

uint64_t read_counter() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

uint64_t read_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Two samples far apart cost no waiting: the first one is taken when the program is loaded.
const TscSample kAtStart = take_tsc_sample();

}  // namespace

TscSample take_tsc_sample() {
  // The reading that the scheduler disturbed least.
  TscSample best;
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < 5; ++i) {
    const uint64_t before = read_clock();
    const uint64_t ticks = read_counter();
    const uint64_t took = read_clock() - before;
    if (took < shortest) {
      shortest = took;
      best = {.ticks = ticks, .ns = before + took / 2};
    }
  }
  return best;
}

uint64_t tsc_khz(const TscSample& first, const TscSample& second) {
  if (second.ns < first.ns + kShortestNs || second.ticks <= first.ticks) return 0;
  const auto ticks = static_cast<double>(second.ticks - first.ticks);
  const double khz = ticks * 1e6 / static_cast<double>(second.ns - first.ns);
  if (khz < kLowestKhz || khz > kHighestKhz) return 0;
  return static_cast<uint64_t>(khz + 0.5);
}

uint64_t host_tsc_khz() {
  return tsc_khz(kAtStart, take_tsc_sample());
}

void add_tsc_frequency(std::string& command_line, uint64_t khz) {
  if (khz == 0) return;
  const auto add = [&command_line](const char* word, uint64_t value) {
    if (command_line.find(word) != std::string::npos) return;
    if (!command_line.empty()) command_line += ' ';
    command_line += word + std::to_string(value);
  };
  add("tsc_early_khz=", khz);
  add("lpj=", khz * 1000 / kJiffiesPerSecond);
}

}  // namespace kata::vmm::qemu
