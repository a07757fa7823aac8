// NICs into and out of a running QEMU.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/vmm/nic_plug.h"
#include "host/vmm/qemu/machine.h"

namespace kata::vmm::qemu {

// JSON of netdev_add and device_add; `queues` and `vhosts` are the names of descriptors that QEMU was given.
std::string nic_backend_json(const NicSpec& nic, const std::vector<std::string>& queues,
                             const std::vector<std::string>& vhosts);
std::string nic_device_json(const NicSpec& nic, const std::string& port);
// "1b.1/00": the device behind the port, as the agent names it.
std::string guest_path_behind(const PortSpec& port);

class QemuNicPlug final : public NicPlug {
 public:
  QemuNicPlug(std::shared_ptr<Machine> machine, std::vector<PortSpec> ports)
      : machine_(std::move(machine)), ports_(std::move(ports)) {}

  Awaitable<std::string> add_nic(NicSpec nic) override;
  Awaitable<> remove_nic(std::string id) override;

 private:
  Awaitable<> make(const NicSpec& nic, const std::string& port, bool& has_backend);
  Awaitable<> remove_backend(const std::string& id);

  std::shared_ptr<Machine> machine_;
  std::vector<PortSpec> ports_;
  // NIC by port.
  std::map<std::string, std::string> taken_;
};

}  // namespace kata::vmm::qemu
