#include "host/vmm/fake_driver.h"

#include <utility>

#include <unistd.h>

namespace kata::vmm {

FakeDriver::FakeDriver(const asio::any_io_executor& executor) : waits_(std::make_shared<Waits>(executor)) {}

void FakeDriver::end(ExitStatus status, std::string reason) {
  if (waits_->ended.is_set()) return;
  waits_->exit = VmExit{.status = status, .reason = std::move(reason)};
  waits_->ended.set();
}

void FakeDriver::panic(std::string text) {
  waits_->failure = std::move(text);
  waits_->failed.set();
}

Awaitable<> FakeDriver::start(VmSpec spec) {
  if (spec_) throw Error(Code::kFailedPrecondition, "starting VM " + spec.id + ": it was started before");
  spec_ = std::move(spec);
  if (!start_error_) co_return;
  end({.code = 1, .signal = 0}, "never ran");
  throw Error(*start_error_);
}

Awaitable<> FakeDriver::stop() {
  ++stops_;
  if (spec_) end({.code = 0, .signal = 0}, "stopped");
  co_return;
}

Awaitable<VmExit> FakeDriver::wait() {
  const auto waits = waits_;
  if (!spec_) throw Error(Code::kFailedPrecondition, "waiting for a VM that was not started");
  co_await waits->ended.wait();
  co_return waits->exit;
}

Awaitable<std::string> FakeDriver::guest_failure() {
  const auto waits = waits_;
  if (!spec_) throw Error(Code::kFailedPrecondition, "watching a VM that was not started");
  co_await waits->failed.wait();
  co_return waits->failure;
}

pid_t FakeDriver::pid() const {
  if (!spec_) return -1;
  return pid_ != 0 ? pid_ : ::getpid();
}

std::vector<std::string> FakeDriver::last_console_lines(size_t count) const {
  const size_t skip = console_.size() > count ? console_.size() - count : 0;
  return {console_.begin() + static_cast<std::ptrdiff_t>(skip), console_.end()};
}

}  // namespace kata::vmm
