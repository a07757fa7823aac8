// The ability to give a running VM disks and to take them away again.
#pragma once

#include <cstdint>
#include <string>

#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"

namespace kata::vmm {

// Owned by the driver. Calls have limits of their own; one that failed has left nothing behind in the VMM.
class DiskPlug {
 public:
  virtual ~DiskPlug() = default;

  // At the disk's place. Returns when the VMM has it: the guest may need a moment more to see it.
  virtual Awaitable<> add_disk(DiskSpec disk) = 0;
  virtual Awaitable<> add_controller(ScsiControllerSpec controller) = 0;
  // Tells the VMM, and by it the guest, that the file or device behind the disk has become this large
  // (bytes).
  virtual Awaitable<> resize_disk(std::string id, uint64_t bytes) = 0;
  // Asks the guest to let go of the disk, waits for that, and closes its files. kDeadlineExceeded when the
  // guest keeps it: then it is still plugged.
  virtual Awaitable<> remove_disk(std::string id) = 0;
};

}  // namespace kata::vmm
