// The interface to a virtual machine monitor. One driver object is one VM.
#pragma once

#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "host/vmm/vm_spec.h"
#include "lib/async/awaitable.h"
#include "lib/async/child_process.h"

namespace kata::vmm {

struct VmExit {
  ExitStatus status;
  // Why, as far as it is known: "QEMU was killed by signal 9 (Killed)", "guest kernel panicked", "stopped".
  std::string reason;
};

struct GuestCapabilities {
  bool shared_fs = true;
  bool hot_plug = false;
};

// Optional abilities: a driver gives the object or null, there is no late "not supported". Their interfaces
// grow with the issues that use them.
class HotPlug;
class DiskPlug;
class NicPlug;
class Balloon;
class CpuMemory;
class Pause;
class Snapshot;

// Life: start once, then wait/stop; an object whose start failed has left nothing behind. All calls on the
// program's one thread.
class VmDriver {
 public:
  virtual ~VmDriver() = default;

  // Starts the VMM and the guest; returns when the VMM runs its vCPUs (not when the guest is up). Errors name
  // the phase, the thing, and the VMM's own last lines.
  virtual Awaitable<> start(VmSpec spec) = 0;
  // Asks the VMM to quit, then SIGTERM, then SIGKILL, each with its limit. Idempotent; returns when the
  // process is gone.
  virtual Awaitable<> stop() = 0;
  // Returns when the VMM process has ended, whoever ended it. Any number of waiters.
  virtual Awaitable<VmExit> wait() = 0;
  // Waits for a sign that the guest died inside a living VMM (panic event). Never returns if the guest stays
  // healthy; cancel it.
  virtual Awaitable<std::string> guest_failure() = 0;
  [[nodiscard]] virtual pid_t pid() const = 0;
  // Last lines of the guest's console and of the VMM's own error output, for error messages. Bounded,
  // printable.
  [[nodiscard]] virtual std::vector<std::string> last_console_lines(size_t count) const = 0;
  [[nodiscard]] virtual std::string error_output() const = 0;
  [[nodiscard]] virtual GuestCapabilities capabilities() const = 0;

  [[nodiscard]] virtual HotPlug* hot_plug() { return nullptr; }
  // Null before start() and for a VM that has neither disks nor ports for them.
  [[nodiscard]] virtual DiskPlug* disk_plug() { return nullptr; }
  // Null before start() and for a VM without ports for NICs.
  [[nodiscard]] virtual NicPlug* nic_plug() { return nullptr; }
  [[nodiscard]] virtual Balloon* balloon() { return nullptr; }
  // Null before start(); see cpu_memory.h.
  [[nodiscard]] virtual CpuMemory* cpu_memory() { return nullptr; }
  [[nodiscard]] virtual Pause* pause() { return nullptr; }
  [[nodiscard]] virtual Snapshot* snapshot() { return nullptr; }
};

// The driver registered under a name of the configuration ("qemu"); kInvalidArgument names the known ones.
std::unique_ptr<VmDriver> make_driver(const std::string& name, const asio::any_io_executor& executor);

}  // namespace kata::vmm
