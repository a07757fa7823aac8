#include "guest/cgroup/limits.h"

#include <algorithm>

#include "lib/error/error.h"

namespace kata::cgroup {
namespace {

constexpr uint64_t kDefaultPeriod = 100000;

}  // namespace

uint64_t weight_of_shares(uint64_t shares) {
  const uint64_t bounded = std::clamp<uint64_t>(shares, 2, 262144);
  return 1 + (bounded - 2) * 9999 / 262142;
}

uint64_t io_weight_of(uint64_t weight) {
  const uint64_t bounded = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (bounded - 10) * 9999 / 990;
}

std::optional<std::string> cpu_max(const oci::CpuLimits& cpu) {
  const int64_t quota = cpu.quota.value_or(0);
  const uint64_t period = cpu.period.value_or(0);
  if (quota == 0 && period == 0) return std::nullopt;
  return (quota > 0 ? std::to_string(quota) : "max") + " " +
         std::to_string(period == 0 ? kDefaultPeriod : period);
}

std::optional<std::string> swap_max(const oci::MemoryLimits& memory) {
  const int64_t swap = memory.swap.value_or(0);
  const int64_t limit = memory.limit.value_or(0);
  if (swap == 0) return std::nullopt;
  if (swap < 0) return "max";
  if (limit <= 0)
    throw Error(Code::kInvalidArgument,
                "resources.memory.swap counts memory and swap: it needs resources.memory.limit");
  if (swap < limit)
    throw Error(Code::kInvalidArgument, "resources.memory.swap is below resources.memory.limit");
  return std::to_string(swap - limit);
}

std::optional<std::string> limit_text(std::optional<int64_t> value, const char* unlimited) {
  if (value.value_or(0) == 0) return std::nullopt;
  return *value < 0 ? unlimited : std::to_string(*value);
}

std::string huge_page_name(const std::string& size) {
  const size_t digits = size.find_first_not_of("0123456789");
  const std::string unit = digits == std::string::npos ? "" : size.substr(digits);
  if (digits == 0 || (unit != "KB" && unit != "MB" && unit != "GB"))
    throw Error(Code::kInvalidArgument,
                "resources.hugepageLimits: page size \"" + size + "\" is not understood");
  return size;
}

}  // namespace kata::cgroup
