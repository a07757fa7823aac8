#include "host/agent/convert.h"

namespace kata::agent {
namespace {

types::IPFamily family_of(const std::string& ip) {
  return ip.find(':') == std::string::npos ? types::v4 : types::v6;
}

MemoryData from_message(const grpc::MemoryData& message) {
  return {.usage = message.usage(),
          .max_usage = message.max_usage(),
          .failcnt = message.failcnt(),
          .limit = message.limit()};
}

std::vector<IoCounter> from_message(
    const google::protobuf::RepeatedPtrField<grpc::BlkioStatsEntry>& entries) {
  std::vector<IoCounter> counters;
  for (const auto& entry : entries) {
    counters.push_back(
        {.major = entry.major(), .minor = entry.minor(), .op = entry.op(), .value = entry.value()});
  }
  return counters;
}

void read_cpu(const grpc::CpuStats& message, ContainerCounters& counters) {
  counters.cpu_total = message.cpu_usage().total_usage();
  counters.cpu_kernel = message.cpu_usage().usage_in_kernelmode();
  counters.cpu_user = message.cpu_usage().usage_in_usermode();
  counters.per_cpu.assign(message.cpu_usage().percpu_usage().begin(),
                          message.cpu_usage().percpu_usage().end());
  counters.periods = message.throttling_data().periods();
  counters.throttled_periods = message.throttling_data().throttled_periods();
  counters.throttled_time = message.throttling_data().throttled_time();
}

}  // namespace

void to_message(const Storage& storage, grpc::Storage& message) {
  message.set_driver(storage.driver);
  for (const std::string& option : storage.driver_options) message.add_driver_options(option);
  message.set_source(storage.source);
  message.set_fstype(storage.fstype);
  for (const std::string& option : storage.options) message.add_options(option);
  message.set_mount_point(storage.mount_point);
  message.set_shared(storage.shared);
  if (storage.fs_group != 0) message.mutable_fs_group()->set_group_id(storage.fs_group);
}

void to_message(const Interface& interface, types::Interface& message) {
  message.set_device(interface.device);
  message.set_name(interface.name);
  for (const IpAddress& address : interface.addresses) {
    types::IPAddress& target = *message.add_ipaddresses();
    target.set_family(family_of(address.address));
    target.set_address(address.address);
    target.set_mask(std::to_string(address.prefix));
  }
  message.set_mtu(interface.mtu);
  message.set_hwaddr(interface.mac);
  message.set_devicepath(interface.device_path);
  message.set_type(interface.type);
  message.set_raw_flags(interface.raw_flags);
}

void to_message(const Route& route, types::Route& message) {
  message.set_dest(route.destination);
  message.set_gateway(route.gateway);
  message.set_device(route.device);
  message.set_source(route.source);
  message.set_scope(route.scope);
  message.set_family(route.ipv6 ? types::v6 : types::v4);
  message.set_flags(route.flags);
  message.set_mtu(route.mtu);
}

void to_message(const Neighbour& neighbour, types::ARPNeighbor& message) {
  message.mutable_toipaddress()->set_family(family_of(neighbour.ip));
  message.mutable_toipaddress()->set_address(neighbour.ip);
  message.set_device(neighbour.device);
  message.set_lladdr(neighbour.mac);
  message.set_state(neighbour.state);
  message.set_flags(neighbour.flags);
}

ContainerCounters from_message(const grpc::StatsContainerResponse& message) {
  ContainerCounters counters;
  const auto& cgroup = message.cgroup_stats();
  read_cpu(cgroup.cpu_stats(), counters);
  counters.pids_current = cgroup.pids_stats().current();
  counters.pids_limit = cgroup.pids_stats().limit();
  counters.cache = cgroup.memory_stats().cache();
  counters.memory = from_message(cgroup.memory_stats().usage());
  counters.swap = from_message(cgroup.memory_stats().swap_usage());
  counters.kernel = from_message(cgroup.memory_stats().kernel_usage());
  for (const auto& [name, value] : cgroup.memory_stats().stats()) counters.memory_stat[name] = value;
  counters.io_service_bytes = from_message(cgroup.blkio_stats().io_service_bytes_recursive());
  counters.io_serviced = from_message(cgroup.blkio_stats().io_serviced_recursive());
  for (const auto& [size, value] : cgroup.hugetlb_stats()) {
    counters.hugetlb[size] = {
        .usage = value.usage(), .max_usage = value.max_usage(), .failcnt = value.failcnt()};
  }
  for (const auto& link : message.network_stats()) {
    counters.network.push_back({.name = link.name(),
                                .rx_bytes = link.rx_bytes(),
                                .rx_packets = link.rx_packets(),
                                .rx_errors = link.rx_errors(),
                                .rx_dropped = link.rx_dropped(),
                                .tx_bytes = link.tx_bytes(),
                                .tx_packets = link.tx_packets(),
                                .tx_errors = link.tx_errors(),
                                .tx_dropped = link.tx_dropped()});
  }
  return counters;
}

}  // namespace kata::agent
