#include "host/vmm/qemu/qemu_driver.h"

#include <utility>

#include <boost/asio/cancellation_state.hpp>

#include "host/vmm/accelerator.h"
#include "host/vmm/qemu/cpu_memory.h"
#include "host/vmm/qemu/disk_plug.h"
#include "host/vmm/qemu/launch.h"
#include "host/vmm/qemu/machine.h"
#include "host/vmm/qemu/nic_plug.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::vmm {
namespace {

// From the start of the process to running vCPUs: some 50 ms on an idle machine; vhost-user devices are
// waited for.
constexpr Duration kStartLimit = std::chrono::seconds(30);

// Between closing its monitor and its end QEMU does nothing that takes time.
constexpr Duration kLeaveLimit = std::chrono::seconds(1);

class QemuDriver final : public VmDriver {
 public:
  explicit QemuDriver(const asio::any_io_executor& executor) : executor_(executor) {}
  ~QemuDriver() override {
    // Last resort: owners stop first.
    if (machine_) machine_->kill();
  }

  Awaitable<> start(VmSpec spec) override;
  Awaitable<> stop() override {
    if (machine_) co_await machine_->stop();
  }
  Awaitable<VmExit> wait() override { co_return co_await machine("waiting for").wait(); }
  Awaitable<std::string> guest_failure() override { co_return co_await machine("watching").guest_failure(); }
  [[nodiscard]] pid_t pid() const override { return machine_ ? machine_->pid() : -1; }
  [[nodiscard]] std::vector<std::string> last_console_lines(size_t count) const override {
    return machine_ ? machine_->console().last(count) : std::vector<std::string>();
  }
  [[nodiscard]] std::string error_output() const override {
    return machine_ ? machine_->error_output().text() : std::string();
  }
  [[nodiscard]] GuestCapabilities capabilities() const override {
    return {.shared_fs = true, .hot_plug = false};
  }
  [[nodiscard]] CpuMemory* cpu_memory() override { return size_ ? size_.get() : nullptr; }
  [[nodiscard]] DiskPlug* disk_plug() override { return disks_ ? disks_.get() : nullptr; }
  [[nodiscard]] NicPlug* nic_plug() override { return nics_.get(); }

 private:
  qemu::Machine& machine(const char* tried) {
    if (!machine_) throw Error(Code::kFailedPrecondition, std::string(tried) + " a VM that was not started");
    return *machine_;
  }

  asio::any_io_executor executor_;
  std::shared_ptr<qemu::Machine> machine_;
  std::unique_ptr<qemu::QemuDiskPlug> disks_;
  std::unique_ptr<qemu::QemuNicPlug> nics_;
  std::unique_ptr<qemu::QemuCpuMemory> size_;
};

Awaitable<> QemuDriver::start(VmSpec spec) {
  const std::string context = "starting VM " + spec.id;
  if (machine_) throw Error(Code::kFailedPrecondition, context + ": it was started before");
  const AcceleratorChoice choice = with_context(context, [&spec] {
    qemu::raise_memory(spec);
    qemu::check_spec(spec);
    return choose_accelerator(spec.accelerator, probe_accelerator());
  });
  if (!choice.warning.empty()) log::warning(choice.warning);
  auto machine = with_context(context, [&] {
    return qemu::Machine::create(executor_, qemu::launch(executor_, spec, choice.accelerator));
  });
  // The command line is taken; from here on the machine answers for the process.
  machine_ = machine;
  std::exception_ptr failure;
  try {
    co_await with_deadline(machine->become_ready(), kStartLimit, "waiting for QEMU's vCPUs to run");
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    if (!spec.nic_ports.empty()) nics_ = std::make_unique<qemu::QemuNicPlug>(machine, spec.nic_ports);
    size_ = std::make_unique<qemu::QemuCpuMemory>(machine, spec, choice.accelerator);
    if (!spec.ports.empty() || !spec.disks.empty())
      disks_ = std::make_unique<qemu::QemuDiskPlug>(machine, spec.block);
    co_return;
  }
  // Cleaning up comes to its end even when the start was given up from outside.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  const Error error = to_error(failure);
  // QEMU's own words say more than its closed monitor.
  const bool left = error.code() == Code::kUnavailable;
  if (left) co_await machine->let_end(kLeaveLimit);
  co_await machine->stop();
  const VmExit exit = co_await machine->wait();
  if (left) throw Error(Code::kInternal, context + ": " + exit.reason);
  throw error.within(context);
}

}  // namespace

std::unique_ptr<VmDriver> make_qemu_driver(const asio::any_io_executor& executor) {
  return std::make_unique<QemuDriver>(executor);
}

}  // namespace kata::vmm
