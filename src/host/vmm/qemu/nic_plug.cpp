#include "host/vmm/qemu/nic_plug.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <utility>

#include <boost/asio/cancellation_state.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::vmm::qemu {
namespace {

namespace json = boost::json;

constexpr Duration kPlugLimit = std::chrono::seconds(10);
// The guest is asked and answers, some 70 ms; a busy one takes longer.
constexpr Duration kUnplugLimit = std::chrono::seconds(10);

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ":") + name;
  return list;
}

Awaitable<std::vector<std::string>> give(QmpClient& qmp, const std::string& prefix,
                                         const std::vector<int>& fds) {
  std::vector<std::string> names;
  for (const int fd : fds) {
    std::string name = prefix + std::to_string(names.size());
    co_await qmp.give_descriptor(name, fd);
    names.push_back(std::move(name));
  }
  co_return names;
}

}  // namespace

std::string nic_backend_json(const NicSpec& nic, const std::vector<std::string>& queues,
                             const std::vector<std::string>& vhosts) {
  json::object backend{{"type", "tap"}, {"id", "net-" + nic.id}, {"fds", joined(queues)}};
  if (!vhosts.empty()) {
    backend["vhost"] = true;
    backend["vhostfds"] = joined(vhosts);
  }
  return json::serialize(backend);
}

std::string nic_device_json(const NicSpec& nic, const std::string& port) {
  json::object device{{"driver", "virtio-net-pci"},
                      {"id", nic.id},
                      {"netdev", "net-" + nic.id},
                      {"bus", port},
                      {"romfile", ""},
                      {"disable-legacy", "on"}};
  if (!nic.mac.empty()) device["mac"] = nic.mac;
  if (nic.tap_fds.size() > 1) {
    device["mq"] = true;
    device["vectors"] = 2 * nic.tap_fds.size() + 2;
  }
  return json::serialize(device);
}

std::string guest_path_behind(const PortSpec& port) {
  std::array<char, 16> text{};
  if (port.function == 0) {
    std::snprintf(text.data(), text.size(), "%02x/00", port.slot);
  } else {
    std::snprintf(text.data(), text.size(), "%02x.%x/00", port.slot, port.function);
  }
  return text.data();
}

Awaitable<> QemuNicPlug::make(const NicSpec& nic, const std::string& port, bool& has_backend) {
  QmpClient& qmp = machine_->qmp();
  const auto queues = co_await give(qmp, nic.id + "-queue", nic.tap_fds);
  const auto vhosts = co_await give(qmp, nic.id + "-vhost", nic.vhost_fds);
  co_await qmp.execute("netdev_add", nic_backend_json(nic, queues, vhosts));
  has_backend = true;
  co_await qmp.execute("device_add", nic_device_json(nic, port));
}

Awaitable<> QemuNicPlug::remove_backend(const std::string& id) {
  try {
    std::string arguments = json_id("net-" + id);
    co_await with_deadline(machine_->qmp().execute("netdev_del", std::move(arguments)), kPlugLimit,
                           "removing its backend");
  } catch (const Error& error) {
    log::warning("taking a NIC out of QEMU", {{"nic", id}, {"error", error.message()}});
  }
}

Awaitable<std::string> QemuNicPlug::add_nic(NicSpec nic) {
  const auto free =
      std::ranges::find_if(ports_, [this](const PortSpec& port) { return !taken_.contains(port.id); });
  if (free == ports_.end()) {
    throw Error(Code::kResourceExhausted, "plugging NIC " + nic.id + ": all " +
                                              std::to_string(ports_.size()) +
                                              " places of this VM for further NICs are taken");
  }
  const PortSpec port = *free;
  taken_[port.id] = nic.id;
  bool has_backend = false;
  std::exception_ptr failure;
  try {
    co_await with_deadline(make(nic, port.id, has_backend), kPlugLimit, "adding it");
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return guest_path_behind(port);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (has_backend) co_await remove_backend(nic.id);
  taken_.erase(port.id);
  throw to_error(failure).within("plugging NIC " + nic.id);
}

Awaitable<> QemuNicPlug::remove_nic(std::string id) {
  const auto found = std::ranges::find_if(taken_, [&id](const auto& entry) { return entry.second == id; });
  if (found == taken_.end()) throw Error(Code::kNotFound, "unplugging NIC " + id + ": it was not plugged");
  const std::string port = found->first;
  co_await machine_->remove_device(id, kUnplugLimit, "unplugging NIC " + id);
  co_await remove_backend(id);
  taken_.erase(port);
}

}  // namespace kata::vmm::qemu
