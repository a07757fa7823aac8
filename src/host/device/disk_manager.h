// The disks of one pod's VM: opened, counted, placed, plugged. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/device/disk_file.h"
#include "host/device/pci_topology.h"
#include "host/vmm/disk_plug.h"
#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"
#include "lib/async/mutex.h"

namespace kata::device {

// How the guest's agent is told of a disk: driver of a storage or type of a device, and its source or id.
struct GuestAddress {
  std::string driver;
  std::string source;
};

struct DiskPolicy {
  // "virtio-blk-pci" or "virtio-scsi"; any other has no way for disks of containers.
  std::string driver = "virtio-blk-pci";
  // Empty = disks may be used; else why not, for the message.
  std::string refusal;
  // How many devices can be plugged into the running VM.
  uint32_t ports = 0;
};

// A disk that is put together from files.
struct ComposedDisk {
  // For messages.
  std::string name;
  std::vector<UniqueFd> files;
  std::vector<vmm::DiskExtent> extents;
};

class DiskManager {
 public:
  DiskManager(asio::any_io_executor executor, DiskPolicy policy);

  // Counts one user more of this disk, which is opened and checked by the first one; returns its id. Both
  // names of one device are one disk. A second user who wants more access than the first one asked for is
  // refused with kFailedPrecondition. `filesystem`: see check_filesystem(); none = not looked at, else the
  // type that it has is put there.
  std::string claim(const std::string& path, Access access, std::string* filesystem = nullptr);
  // Read-only, of one user.
  std::string claim(ComposedDisk disk);
  [[nodiscard]] bool is_readonly(const std::string& id) const;

  // What the VM's start must have: ports, controllers, and every disk that was claimed so far.
  void plan_start(vmm::VmSpec& spec);
  // The VM runs with it. `plug`: null = nothing can be plugged any more; lives as long as the VM.
  void vm_started(vmm::DiskPlug* plug);

  // Plugs the disk unless it is in the VM. kResourceExhausted: no place is left.
  Awaitable<GuestAddress> plug(std::string id);
  // Lets the running VM know that what is behind the disk has grown, to `bytes` at least: to grow it is the
  // owner's. kFailedPrecondition when it has not, for a read-only disk, and while there is no VM.
  Awaitable<> resize(std::string id, uint64_t bytes);

  // One user less. The last one of a disk that was plugged into the running VM takes it out; one that the VM
  // was started with stays until the VM ends. Unknown ids are passed over.
  Awaitable<> release(std::string id);

  [[nodiscard]] size_t size() const { return disks_.size(); }

 private:
  enum class State { kOpen, kStarting, kPlugged, kClosed };
  struct Disk {
    explicit Disk(const asio::any_io_executor& executor) : mutex(executor) {}
    vmm::DiskSpec spec;
    std::string path;
    std::optional<DiskKey> key;
    std::vector<UniqueFd> files;
    State state = State::kOpen;
    size_t users = 1;
    // The VM was started with it.
    bool from_start = false;
    // Serialises plugging and unplugging.
    AsyncMutex mutex;
  };
  using DiskPtr = std::shared_ptr<Disk>;

  void check_allowed() const;
  DiskPtr add(std::string path);
  void fill(Disk& disk, DiskFile file);
  DiskPtr find(const std::string& id) const;
  DiskPtr find(const DiskKey& key) const;
  void reuse(Disk& disk, Access access);
  void place_before_start(Disk& disk, vmm::VmSpec& spec);
  Awaitable<> place_running(Disk& disk);
  [[nodiscard]] vmm::ScsiPlace next_scsi_place();
  void give_back_place(Disk& disk);
  [[nodiscard]] GuestAddress address_of(const Disk& disk) const;
  Awaitable<> unplug(DiskPtr disk);

  asio::any_io_executor executor_;
  DiskPolicy policy_;
  PciTopology topology_;
  vmm::DiskPlug* plug_ = nullptr;
  bool started_ = false;
  std::optional<vmm::ScsiControllerSpec> controller_;
  AsyncMutex controller_mutex_;
  std::map<std::string, DiskPtr> disks_;
  uint32_t next_number_ = 0, next_thread_ = 0, next_target_ = 0;
};

}  // namespace kata::device
