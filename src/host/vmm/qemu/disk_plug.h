// Disks into and out of a running QEMU.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/vmm/disk_plug.h"
#include "host/vmm/qemu/disk_plan.h"
#include "host/vmm/qemu/machine.h"

namespace kata::vmm::qemu {

class QemuDiskPlug final : public DiskPlug {
 public:
  QemuDiskPlug(std::shared_ptr<Machine> machine, BlockSettings block)
      : machine_(std::move(machine)), block_(std::move(block)) {}

  Awaitable<> add_disk(DiskSpec disk) override;
  Awaitable<> add_controller(ScsiControllerSpec controller) override;
  Awaitable<> resize_disk(std::string id, uint64_t bytes) override;
  Awaitable<> remove_disk(std::string id) override;

 private:
  // What QEMU has of a disk, in the order in which it was made.
  struct Made {
    std::vector<uint32_t> sets;
    std::string object;
    std::vector<std::string> nodes;
  };
  Awaitable<> make(const DiskPlan& plan, Made& made);
  // Takes it away in reverse; failures are logged.
  Awaitable<> take_away(Made made);

  std::shared_ptr<Machine> machine_;
  BlockSettings block_;
  std::map<std::string, Made> plugged_;
};

}  // namespace kata::vmm::qemu
