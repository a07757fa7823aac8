// A QEMU process under supervision: its monitor, its output, its end.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "host/vmm/console_log.h"
#include "host/vmm/guest_log.h"
#include "host/vmm/qemu/launch.h"
#include "host/vmm/qemu/qmp_client.h"
#include "host/vmm/vm_driver.h"
#include "lib/async/event.h"

namespace kata::vmm::qemu {

// Shared: its watching coroutines keep it until the process has ended and everything it wrote was read.
class Machine : public std::enable_shared_from_this<Machine> {
 public:
  // Takes over a started process and begins to watch it.
  static std::shared_ptr<Machine> create(const asio::any_io_executor& executor, Launched launched);

  // Returns when the vCPUs run. kUnavailable when QEMU closes its monitor before that.
  Awaitable<> become_ready();
  // Waits at most `limit` for an end that is already under way.
  Awaitable<> let_end(Duration limit);
  // QMP quit, SIGTERM, SIGKILL, each with its limit.
  Awaitable<> stop();
  Awaitable<VmExit> wait();
  Awaitable<std::string> guest_failure();
  void kill();
  // Asks the guest for the device and waits until QEMU has taken it away (DEVICE_DELETED), for at most
  // `limit`; `what` is for the error.
  Awaitable<> remove_device(std::string id, Duration limit, std::string what);
  // What the guest says of a device that it was given (ACPI _OST); ask before the device is plugged.
  struct GuestWord {
    explicit GuestWord(const asio::any_io_executor& executor) : said(executor) {}
    Event said;
    // 0 = taken.
    int64_t status = -1;
  };
  std::shared_ptr<GuestWord> guest_word(const std::string& id);

  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  [[nodiscard]] QmpClient& qmp() { return *qmp_; }
  [[nodiscard]] const ConsoleLog& console() const { return console_log_; }
  [[nodiscard]] const ConsoleLog& error_output() const { return error_log_; }

 private:
  Machine(const asio::any_io_executor& executor, Launched launched);
  void watch();
  Awaitable<> watch_process();
  // Reads `source` to its end into `log`, then sets `done`.
  Awaitable<> collect(asio::posix::stream_descriptor& source, ConsoleLog& log, Event& done);
  void on_event(const QmpEvent& event);
  void hear_guest(const std::string& data);
  [[nodiscard]] std::string panic_line() const;
  [[nodiscard]] std::string exit_reason(const ExitStatus& status) const;

  enum class Phase { kRunning, kStopping };

  asio::any_io_executor executor_;
  std::shared_ptr<ChildProcess> child_;
  std::shared_ptr<QmpClient> qmp_;
  asio::posix::stream_descriptor console_, errors_;
  ConsoleLog console_log_;
  GuestLog guest_log_;
  ConsoleLog error_log_{40, 400};
  Event console_read_, errors_read_, qmp_read_, ended_, guest_failed_;
  std::string guest_failure_;
  VmExit exit_;
  std::map<std::string, std::shared_ptr<Event>> leaving_;
  std::map<std::string, std::shared_ptr<GuestWord>> words_;
  Phase phase_ = Phase::kRunning;
};

}  // namespace kata::vmm::qemu
