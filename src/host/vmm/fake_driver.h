// A driver that starts nothing: for tests of everything that stands on a VM.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/vmm/fake_disk_plug.h"
#include "host/vmm/vm_driver.h"
#include "lib/async/event.h"
#include "lib/error/error.h"

namespace kata::vmm {

// Keeps the promises of VmDriver (it runs the conformance suite); the test decides what happens to its "VM".
class FakeDriver final : public VmDriver {
 public:
  explicit FakeDriver(const asio::any_io_executor& executor);

  // Script, before start(): what start() throws; which pid it reports (0 = this process, which is alive).
  void fail_start_with(Error error) { start_error_ = std::move(error); }
  void set_pid(pid_t pid) { pid_ = pid; }
  // Script, after start(): the VMM ends by itself; the guest panics but the VMM lives; the guest writes a
  // line.
  void end(ExitStatus status, std::string reason);
  void panic(std::string text);
  void write_console(const std::string& line) { console_.push_back(line); }
  // What the driver was asked for.
  [[nodiscard]] const std::optional<VmSpec>& spec() const { return spec_; }
  [[nodiscard]] size_t stops() const { return stops_; }

  Awaitable<> start(VmSpec spec) override;
  Awaitable<> stop() override;
  Awaitable<VmExit> wait() override;
  Awaitable<std::string> guest_failure() override;
  [[nodiscard]] pid_t pid() const override;
  [[nodiscard]] std::vector<std::string> last_console_lines(size_t count) const override;
  [[nodiscard]] std::string error_output() const override { return {}; }
  [[nodiscard]] GuestCapabilities capabilities() const override {
    return {.shared_fs = true, .hot_plug = false};
  }
  // Once it was started with ports.
  [[nodiscard]] DiskPlug* disk_plug() override { return spec_ && !spec_->ports.empty() ? &disks_ : nullptr; }
  [[nodiscard]] FakeDiskPlug& disks() { return disks_; }

 private:
  struct Waits {
    explicit Waits(const asio::any_io_executor& executor) : ended(executor), failed(executor) {}
    Event ended, failed;
    VmExit exit;
    std::string failure;
  };

  // Outlives the driver while somebody still waits.
  std::shared_ptr<Waits> waits_;
  FakeDiskPlug disks_;
  std::optional<VmSpec> spec_;
  std::optional<Error> start_error_;
  std::vector<std::string> console_;
  pid_t pid_ = 0;
  size_t stops_ = 0;
};

}  // namespace kata::vmm
