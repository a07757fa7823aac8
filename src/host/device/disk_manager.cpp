#include "host/device/disk_manager.h"

#include <sys/resource.h>
#include <utility>

#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::device {
namespace {

constexpr const char* kScsi = "virtio-scsi";
constexpr uint32_t kTargets = 256;

// A disk of 128 layers takes some 260 descriptors in the VMM, which inherits the limit.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log::warning("the limit of open files stays as it is");
}

}  // namespace

DiskManager::DiskManager(asio::any_io_executor executor, DiskPolicy policy)
    : executor_(std::move(executor)),
      policy_(std::move(policy)),
      topology_(policy_.ports),
      controller_mutex_(executor_) {}

void DiskManager::check_allowed() const {
  if (!policy_.refusal.empty()) throw Error(Code::kFailedPrecondition, policy_.refusal);
}

DiskManager::DiskPtr DiskManager::add(std::string path) {
  auto disk = std::make_shared<Disk>(executor_);
  disk->path = std::move(path);
  disk->spec.number = next_number_++;
  disk->spec.id = "drive-" + std::to_string(disk->spec.number);
  disks_[disk->spec.id] = disk;
  return disk;
}

DiskManager::DiskPtr DiskManager::find(const std::string& id) const {
  const auto found = disks_.find(id);
  if (found == disks_.end()) throw Error(Code::kNotFound, "disk " + id + " is not known");
  return found->second;
}

DiskManager::DiskPtr DiskManager::find(const DiskKey& key) const {
  for (const auto& [id, disk] : disks_) {
    if (disk->key == key) return disk;
  }
  return nullptr;
}

void DiskManager::fill(Disk& disk, DiskFile file) {
  disk.key = file.key;
  disk.spec.readonly = file.readonly;
  disk.spec.backing = file.backing;
  disk.files.clear();
  disk.files.push_back(std::move(file.fd));
  disk.state = State::kOpen;
}

// More access than the disk has is refused, less is given by the mount in the guest.
void DiskManager::reuse(Disk& disk, Access access) {
  if (access == Access::kReadWrite && disk.spec.readonly) {
    throw Error(Code::kFailedPrecondition,
                "disk " + disk.path +
                    " is attached read-only for another container of the pod: it cannot be written");
  }
  ++disk.users;
}

std::string DiskManager::claim(const std::string& path, Access access, std::string* filesystem) {
  check_allowed();
  if (const DiskPtr known = find(key_of(path))) {
    reuse(*known, access);
    return known->spec.id;
  }
  DiskFile file = open_disk(path, access);
  if (filesystem != nullptr) *filesystem = check_filesystem(file, path, *filesystem);
  const DiskPtr disk = add(path);
  fill(*disk, std::move(file));
  return disk->spec.id;
}

std::string DiskManager::claim(ComposedDisk composed) {
  check_allowed();
  const DiskPtr disk = add(std::move(composed.name));
  disk->files = std::move(composed.files);
  disk->spec.extents = std::move(composed.extents);
  disk->spec.readonly = true;
  disk->spec.own_sector_sizes = true;
  return disk->spec.id;
}

bool DiskManager::is_readonly(const std::string& id) const {
  return find(id)->spec.readonly;
}

vmm::ScsiPlace DiskManager::next_scsi_place() {
  const uint32_t index = next_target_++;
  return {.controller = controller_->id,
          .target = static_cast<uint16_t>(index % kTargets),
          .lun = static_cast<uint16_t>(index / kTargets)};
}

void DiskManager::place_before_start(Disk& disk, vmm::VmSpec& spec) {
  if (policy_.driver != kScsi && !controller_) {
    auto place = topology_.take_before_start();
    if (!place) throw Error(Code::kResourceExhausted, "no PCI place is left for disk " + disk.path);
    // The last place is the controller's, for this disk and those that follow.
    if (auto next = topology_.take_before_start()) {
      topology_.give_back(*next);
      disk.spec.pci = std::move(place);
      return;
    }
    topology_.give_back(*place);
  }
  if (!controller_) {
    controller_ = vmm::ScsiControllerSpec{.id = "scsi0", .place = *topology_.take_before_start()};
    spec.scsi_controllers.push_back(*controller_);
  }
  disk.spec.scsi = next_scsi_place();
}

void DiskManager::plan_start(vmm::VmSpec& spec) {
  raise_file_limit();
  spec.ports = topology_.ports();
  for (const auto& [id, disk] : disks_) {
    if (disk->state != State::kOpen) continue;
    place_before_start(*disk, spec);
    disk->spec.iothread = next_thread_++;
    disk->from_start = true;
    for (const UniqueFd& file : disk->files) disk->spec.files.push_back(file.get());
    disk->state = State::kStarting;
    spec.disks.push_back(disk->spec);
  }
}

void DiskManager::vm_started(vmm::DiskPlug* plug) {
  plug_ = plug;
  started_ = true;
  for (const auto& [id, disk] : disks_) {
    if (disk->state != State::kStarting) continue;
    disk->state = State::kPlugged;
    // The VMM has them.
    disk->files.clear();
    disk->spec.files.clear();
  }
}

Awaitable<> DiskManager::place_running(Disk& disk) {
  const auto no_place = [&disk] {
    return Error(Code::kResourceExhausted, "no PCI place is left in the running VM for disk " + disk.path +
                                               ": a pod whose first container uses block devices has more");
  };
  const auto lock = co_await controller_mutex_.lock();
  if (policy_.driver != kScsi && !controller_) {
    auto place = topology_.take_running();
    if (!place) throw no_place();
    if (auto next = topology_.take_running()) {
      topology_.give_back(*next);
      disk.spec.pci = std::move(place);
      co_return;
    }
    topology_.give_back(*place);
  }
  if (!controller_) {
    const auto place = topology_.take_running();
    if (!place) throw no_place();
    vmm::ScsiControllerSpec controller{.id = "scsi0", .place = *place};
    co_await plug_->add_controller(controller);
    controller_ = std::move(controller);
  }
  disk.spec.scsi = next_scsi_place();
}

GuestAddress DiskManager::address_of(const Disk& disk) const {
  if (disk.spec.scsi) {
    return {.driver = "scsi",
            .source = std::to_string(disk.spec.scsi->target) + ":" + std::to_string(disk.spec.scsi->lun)};
  }
  return {.driver = "blk", .source = topology_.guest_path(*disk.spec.pci)};
}

Awaitable<GuestAddress> DiskManager::plug(std::string id) {
  const DiskPtr disk = find(id);
  const auto lock = co_await disk->mutex.lock();
  if (disk->state == State::kPlugged) co_return address_of(*disk);
  if (!started_ || plug_ == nullptr)
    throw Error(Code::kFailedPrecondition,
                "disk " + disk->path + " cannot be plugged into this VM while it runs");
  if (disk->state == State::kClosed) {
    // It was on its way out when it was claimed again.
    fill(*disk, open_disk(disk->path, disk->spec.readonly ? Access::kReadOnly : Access::kReadWrite));
  }
  co_await place_running(*disk);
  disk->spec.iothread = next_thread_++;
  disk->spec.files.clear();
  for (const UniqueFd& file : disk->files) disk->spec.files.push_back(file.get());
  std::exception_ptr failure;
  try {
    co_await plug_->add_disk(disk->spec);
  } catch (...) {
    failure = std::current_exception();
  }
  disk->spec.files.clear();
  if (failure) {
    give_back_place(*disk);
    throw to_error(failure).within("disk " + disk->path);
  }
  disk->files.clear();
  disk->state = State::kPlugged;
  co_return address_of(*disk);
}

Awaitable<> DiskManager::resize(std::string id, uint64_t bytes) {
  const DiskPtr disk = find(id);
  const auto lock = co_await disk->mutex.lock();
  const auto refuse = [&disk](const std::string& why) {
    return Error(Code::kFailedPrecondition, "disk " + disk->path + why);
  };
  if (disk->state != State::kPlugged || plug_ == nullptr) throw refuse(" is in no VM that could be told");
  if (disk->spec.readonly) throw refuse(" is read-only: its file system cannot grow");
  const uint64_t size = disk_size(disk->path);
  if (size < bytes) {
    throw refuse(" has " + std::to_string(size) + " bytes, less than the " + std::to_string(bytes) +
                 " asked for: grow it first");
  }
  co_await plug_->resize_disk(disk->spec.id, size);
}

void DiskManager::give_back_place(Disk& disk) {
  if (disk.spec.pci) topology_.give_back(*disk.spec.pci);
  disk.spec.pci.reset();
  disk.spec.scsi.reset();
}

// A disk that the guest keeps is still plugged and stays known, so that it is not given to another container
// as a second disk.
Awaitable<> DiskManager::unplug(DiskPtr disk) {
  // Places on the root bus are for the life of the VM.
  const bool leaves = disk->spec.scsi || (disk->spec.pci && !disk->spec.pci->port.empty());
  if (!leaves || plug_ == nullptr || disk->from_start) co_return;
  co_await plug_->remove_disk(disk->spec.id);
  give_back_place(*disk);
  disk->state = State::kClosed;
}

Awaitable<> DiskManager::release(std::string id) {
  const auto found = disks_.find(id);
  if (found == disks_.end()) co_return;
  const DiskPtr disk = found->second;
  if (disk->users > 0) --disk->users;
  const auto lock = co_await disk->mutex.lock();
  if (disk->users > 0) co_return;
  if (disk->state == State::kPlugged) co_await unplug(disk);
  if (disk->users == 0 && disk->state != State::kPlugged && disk->state != State::kStarting) disks_.erase(id);
}

}  // namespace kata::device
