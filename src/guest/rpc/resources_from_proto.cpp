#include <algorithm>
#include <limits>

#include "guest/rpc/proto_check.h"
#include "guest/rpc/spec_from_proto.h"

namespace kata::rpc {
namespace {

constexpr uint32_t kMaxWeight = 10000;

std::optional<uint16_t> weight_of(uint32_t value, std::string_view field) {
  if (value == 0) return std::nullopt;
  if (value > kMaxWeight)
    throw Error(Code::kInvalidArgument,
                std::string(field) + ": " + std::to_string(value) + " is above 10000");
  return static_cast<uint16_t>(value);
}

oci::DeviceCgroupRule device_rule(const grpc::LinuxDeviceCgroup& from) {
  const std::string& type = from.type();
  if (!type.empty() && type != "a" && type != "b" && type != "c")
    throw Error(Code::kInvalidArgument,
                "Resources.Devices.Type: \"" + type.substr(0, 100) + "\" is not a, b or c");
  if (from.access().find_first_not_of("rwm") != std::string::npos) {
    throw Error(Code::kInvalidArgument, "Resources.Devices.Access: \"" + from.access().substr(0, 100) +
                                            "\" is not made of r, w and m");
  }
  oci::DeviceCgroupRule rule{
      .allow = from.allow(), .type = type, .major = {}, .minor = {}, .access = from.access()};
  if (from.major() > 0) rule.major = from.major();
  if (from.minor() > 0) rule.minor = from.minor();
  return rule;
}

oci::MemoryLimits memory(const grpc::LinuxMemory& from) {
  oci::MemoryLimits limits;
  limits.limit = limit_of(from.limit());
  limits.reservation = limit_of(from.reservation());
  limits.swap = limit_of(from.swap());
  limits.kernel = limit_of(from.kernel());
  limits.kernel_tcp = limit_of(from.kerneltcp());
  limits.swappiness = unless_zero<uint64_t>(from.swappiness());
  limits.disable_oom_killer = from.disableoomkiller();
  return limits;
}

oci::CpuLimits cpu(const grpc::LinuxCPU& from) {
  oci::CpuLimits limits;
  limits.shares = unless_zero<uint64_t>(from.shares());
  limits.quota = limit_of(from.quota());
  limits.period = unless_zero<uint64_t>(from.period());
  limits.realtime_runtime = unless_zero<int64_t>(from.realtimeruntime());
  limits.realtime_period = unless_zero<uint64_t>(from.realtimeperiod());
  limits.cpus = from.cpus();
  limits.mems = from.mems();
  return limits;
}

template <typename Repeated>
std::vector<oci::ThrottleDevice> throttles(const Repeated& from) {
  std::vector<oci::ThrottleDevice> devices;
  for (const grpc::LinuxThrottleDevice& device : from)
    devices.push_back({.major = device.major(), .minor = device.minor(), .rate = device.rate()});
  return devices;
}

oci::BlockIoLimits block_io(const grpc::LinuxBlockIO& from) {
  oci::BlockIoLimits limits;
  limits.weight = weight_of(from.weight(), "Resources.BlockIO.Weight");
  limits.leaf_weight = weight_of(from.leafweight(), "Resources.BlockIO.LeafWeight");
  for (const grpc::LinuxWeightDevice& device : from.weightdevice()) {
    limits.weight_device.push_back(
        {.major = device.major(),
         .minor = device.minor(),
         .weight = weight_of(device.weight(), "Resources.BlockIO.WeightDevice.Weight"),
         .leaf_weight = weight_of(device.leafweight(), "Resources.BlockIO.WeightDevice.LeafWeight")});
  }
  limits.throttle_read_bps = throttles(from.throttlereadbpsdevice());
  limits.throttle_write_bps = throttles(from.throttlewritebpsdevice());
  limits.throttle_read_iops = throttles(from.throttlereadiopsdevice());
  limits.throttle_write_iops = throttles(from.throttlewriteiopsdevice());
  return limits;
}

oci::Resources convert(const grpc::LinuxResources& from) {
  oci::Resources to;
  for (const auto& rule : from.devices()) to.devices.push_back(device_rule(rule));
  if (from.has_memory()) to.memory = memory(from.memory());
  if (from.has_cpu()) to.cpu = cpu(from.cpu());
  if (from.has_pids()) to.pids_limit = from.pids().limit();
  if (from.has_blockio()) to.block_io = block_io(from.blockio());
  for (const auto& limit : from.hugepagelimits())
    to.hugepage_limits.push_back({.page_size = limit.pagesize(), .limit = limit.limit()});
  if (from.has_network()) {
    oci::NetworkLimits network;
    network.class_id = unless_zero<uint32_t>(from.network().classid());
    for (const auto& entry : from.network().priorities())
      network.priorities.push_back({.name = entry.name(), .priority = entry.priority()});
    to.network = std::move(network);
  }
  return to;
}

}  // namespace

std::expected<oci::Resources, Error> resources_from_proto(const grpc::LinuxResources& from) {
  try {
    return convert(from);
  } catch (const Error& error) {
    return std::unexpected(error);
  }
}

}  // namespace kata::rpc
