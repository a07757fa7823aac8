#include "host/resource/sizing/pod_resources.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <vector>

namespace kata::sizing {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr int64_t kPeriod = 100000;
// QEMU's own memory: its code and heaps, and the emulator's translated code (up to 1 GiB), virtiofsd and the
// shim. Page cache of the shared folder comes on top and is given back under pressure.
constexpr uint64_t kVmmAllowanceMib = 1536;
constexpr uint32_t kMostCpus = 8192;

void add_list(std::set<uint32_t>& numbers, std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view part = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    uint32_t low = 0, high = 0;
    const char* const end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(part.data(), end, low);
    if (error != std::errc()) continue;
    high = low;
    if (stop != end && *stop == '-') std::from_chars(stop + 1, end, high);
    for (uint32_t cpu = low; cpu <= high && cpu < kMostCpus; ++cpu) numbers.insert(cpu);
  }
}

std::string list_of(const std::set<uint32_t>& numbers) {
  std::string list;
  for (auto i = numbers.begin(); i != numbers.end();) {
    const uint32_t first = *i;
    uint32_t last = first;
    while (++i != numbers.end() && *i == last + 1) last = *i;
    if (!list.empty()) list += ",";
    list += std::to_string(first);
    if (last != first) list.append("-").append(std::to_string(last));
  }
  return list;
}

template <typename Value>
void take(std::optional<Value>& into, const std::optional<Value>& from) {
  if (from) into = from;
}

uint64_t memory_of(const oci::Resources& resources) {
  if (!resources.memory || resources.memory->limit.value_or(0) <= 0) return 0;
  return static_cast<uint64_t>(*resources.memory->limit);
}

double vcpus_of(const oci::Resources& resources) {
  if (!resources.cpu) return 0;
  const int64_t quota = resources.cpu->quota.value_or(-1);
  const uint64_t period = resources.cpu->period.value_or(0);
  return quota > 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

uint64_t saturating_add(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

}  // namespace

void PodResources::set(const std::string& id, ContainerShare share) {
  shares_[id] = std::move(share);
}

void PodResources::update(const std::string& id, const oci::Resources& changes) {
  oci::Resources& now = shares_[id].resources;
  if (changes.cpu) {
    if (!now.cpu) now.cpu.emplace();
    take(now.cpu->shares, changes.cpu->shares);
    take(now.cpu->quota, changes.cpu->quota);
    take(now.cpu->period, changes.cpu->period);
    if (!changes.cpu->cpus.empty()) now.cpu->cpus = changes.cpu->cpus;
    if (!changes.cpu->mems.empty()) now.cpu->mems = changes.cpu->mems;
  }
  if (changes.memory) {
    if (!now.memory) now.memory.emplace();
    take(now.memory->limit, changes.memory->limit);
  }
}

const oci::Resources* PodResources::find(const std::string& id) const {
  const auto found = shares_.find(id);
  return found == shares_.end() ? nullptr : &found->second.resources;
}

Totals PodResources::totals() const {
  Totals sum;
  std::set<uint32_t> cpus, mems;
  size_t counted = 0, with_cpu = 0, with_memory = 0;
  for (const auto& [id, share] : shares_) {
    if (share.resources.cpu) {
      add_list(cpus, share.resources.cpu->cpus);
      add_list(mems, share.resources.cpu->mems);
      sum.cpu_shares = saturating_add(sum.cpu_shares, share.resources.cpu->shares.value_or(0));
    }
    const double vcpus = vcpus_of(share.resources);
    const uint64_t memory = memory_of(share.resources);
    sum.vcpus += vcpus;
    sum.memory_bytes = saturating_add(sum.memory_bytes, memory);
    if (!share.counts) continue;
    ++counted;
    if (vcpus > 0) ++with_cpu;
    if (memory > 0) ++with_memory;
  }
  sum.cpu_limited = counted > 0 && with_cpu == counted;
  sum.memory_limited = counted > 0 && with_memory == counted;
  if (pod_.vcpus > 0) {
    sum.vcpus = pod_.vcpus;
    sum.cpu_limited = true;
  }
  if (pod_.memory_mib > 0) {
    sum.memory_bytes = pod_.memory_mib * kMib;
    sum.memory_limited = true;
  }
  sum.cpus = list_of(cpus);
  sum.mems = list_of(mems);
  return sum;
}

std::vector<uint32_t> cpus_of(const std::string& list) {
  std::set<uint32_t> numbers;
  add_list(numbers, list);
  return {numbers.begin(), numbers.end()};
}

WantedSize wanted_size(double default_vcpus, uint64_t default_memory_mib, const Totals& totals) {
  WantedSize size;
  // Sums of decimal fractions are a hair off: 1.8 + 0.2 must not become three.
  const double vcpus = std::clamp(std::ceil(default_vcpus + totals.vcpus - 1e-6), 1.0, 1e9);
  size.vcpus = static_cast<uint32_t>(vcpus);
  // Cut off and even, as the limits of a sandbox are.
  const uint64_t mib = totals.memory_bytes / kMib;
  size.memory_mib = saturating_add(default_memory_mib, mib + mib % 2);
  return size;
}

NodeShare node_share(const Totals& totals, const NodeOverhead& overhead) {
  NodeShare share;
  if (totals.cpu_shares > 0) share.cpu_shares = totals.cpu_shares;
  if (totals.cpu_limited) {
    const double quota = (totals.vcpus + overhead.vcpus) * kPeriod;
    // The kernel takes nothing below a millisecond.
    share.cpu_quota = std::max<int64_t>(1000, std::llround(std::min(quota, 1e12)));
  }
  share.cpus = totals.cpus;
  share.mems = totals.mems;
  if (totals.memory_limited) share.memory_bytes = (overhead.vm_memory_mib + kVmmAllowanceMib) * kMib;
  return share;
}

}  // namespace kata::sizing
