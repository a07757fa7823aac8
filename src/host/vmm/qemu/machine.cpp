#include "host/vmm/qemu/machine.h"

#include <array>
#include <csignal>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>

#include "lib/async/deadline.h"
#include "lib/log/log.h"

namespace kata::vmm::qemu {
namespace {

using std::chrono::steady_clock;

constexpr Duration kQuitLimit = std::chrono::seconds(1);
constexpr Duration kTermLimit = std::chrono::seconds(1);
// After the process has gone only what the kernel still buffers can arrive.
constexpr Duration kDrainLimit = std::chrono::milliseconds(200);

std::string milliseconds(steady_clock::duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// Why the guest ended, from the reason of a SHUTDOWN event; empty for an end that the host asked for.
std::string shutdown_text(const std::string& reason) {
  if (reason == "guest-panic") return "guest kernel panicked";
  if (reason == "guest-reset") return "guest rebooted: its kernel panicked or its init ended";
  if (reason == "guest-shutdown") return "guest powered itself off";
  return {};
}

}  // namespace

Machine::Machine(const asio::any_io_executor& executor, Launched launched)
    : executor_(executor),
      child_(std::move(launched.child)),
      console_(executor),
      errors_(executor, launched.error_output.release()),
      console_read_(executor),
      errors_read_(executor),
      qmp_read_(executor),
      ended_(executor),
      guest_failed_(executor) {
  if (launched.console) console_.assign(launched.console.release());
}

std::shared_ptr<Machine> Machine::create(const asio::any_io_executor& executor, Launched launched) {
  UniqueFd qmp = std::move(launched.qmp);
  std::shared_ptr<Machine> machine(new Machine(executor, std::move(launched)));
  machine->qmp_ = std::make_shared<QmpClient>(executor, std::move(qmp),
                                              [weak = std::weak_ptr(machine)](const QmpEvent& event) {
                                                if (const auto self = weak.lock()) self->on_event(event);
                                              });
  machine->watch();
  return machine;
}

void Machine::watch() {
  auto read_qmp = [](std::shared_ptr<Machine> self) -> Awaitable<> {
    co_await self->qmp_->read_loop();
    self->qmp_read_.set();
  };
  asio::co_spawn(executor_, read_qmp(shared_from_this()), asio::detached);
  asio::co_spawn(executor_, collect(errors_, error_log_, errors_read_), asio::detached);
  if (console_.is_open()) {
    console_log_.on_line([this](const std::string& line) { guest_log_.line(line); });
    asio::co_spawn(executor_, collect(console_, console_log_, console_read_), asio::detached);
  } else {
    console_read_.set();
  }
  asio::co_spawn(executor_, watch_process(), asio::detached);
}

Awaitable<> Machine::collect(asio::posix::stream_descriptor& source, ConsoleLog& log, Event& done) {
  const auto self = shared_from_this();
  std::array<char, 2048> buffer;
  boost::system::error_code error;
  while (!error) {
    const size_t n = co_await source.async_read_some(asio::buffer(buffer),
                                                     asio::redirect_error(asio::use_awaitable, error));
    log.append({buffer.data(), n});
  }
  done.set();
}

Awaitable<> Machine::watch_process() {
  const auto self = shared_from_this();
  const ExitStatus status = co_await child_->wait();
  for (Event* read : {&errors_read_, &console_read_, &qmp_read_}) {
    try {
      co_await with_deadline(read->wait(), kDrainLimit, "reading the rest of QEMU's output");
    } catch (const Error& error) {
      // Somebody else holds the other end; what was read so far must do.
      log::debug("QEMU's output stays open", {{"reason", error.message()}});
    }
  }
  boost::system::error_code ignored;
  console_.close(ignored);
  errors_.close(ignored);
  qmp_->close();
  exit_ = VmExit{.status = status, .reason = exit_reason(status)};
  log::debug("QEMU ended", {{"pid", std::to_string(pid())}, {"reason", exit_.reason}});
  ended_.set();
}

Awaitable<> Machine::become_ready() {
  const auto self = shared_from_this();
  const auto begin = steady_clock::now();
  const std::string version = co_await qmp_->negotiate();
  // Negotiation is answered from the main loop, which QEMU enters after it has let the vCPUs go. Asking for
  // the status, too, would only wait for the lock that a busy emulated vCPU holds.
  log::debug("QEMU runs", {{"pid", std::to_string(pid())},
                           {"version", version},
                           {"milliseconds", milliseconds(steady_clock::now() - begin)}});
}

Awaitable<> Machine::let_end(Duration limit) {
  const auto self = shared_from_this();
  try {
    co_await with_deadline(ended_.wait(), limit, "waiting for QEMU to end");
  } catch (const Error& error) {
    log::debug("QEMU does not end by itself", {{"reason", error.message()}});
  }
}

Awaitable<> Machine::stop() {
  const auto self = shared_from_this();
  phase_ = Phase::kStopping;
  auto quit = [](std::shared_ptr<Machine> machine) -> Awaitable<> {
    co_await machine->qmp_->execute("quit");
    co_await machine->child_->wait();
  };
  if (!child_->status()) {
    try {
      co_await with_deadline(quit(self), kQuitLimit, "QEMU's quit");
    } catch (const Error& error) {
      log::debug("QEMU does not quit, sending signals", {{"reason", error.message()}});
    }
  }
  co_await child_->stop(kTermLimit);
  co_await ended_.wait();
}

Awaitable<VmExit> Machine::wait() {
  const auto self = shared_from_this();
  co_await ended_.wait();
  co_return exit_;
}

Awaitable<std::string> Machine::guest_failure() {
  const auto self = shared_from_this();
  co_await guest_failed_.wait();
  co_return guest_failure_;
}

void Machine::kill() {
  phase_ = Phase::kStopping;
  child_->signal(SIGKILL);
}

Awaitable<> Machine::remove_device(std::string id, Duration limit, std::string what) {
  // Noted before the command: its event may come before its answer.
  const auto gone = std::make_shared<Event>(executor_);
  leaving_[id] = gone;
  auto ask = [](std::shared_ptr<QmpClient> qmp, std::string device,
                std::shared_ptr<Event> event) -> Awaitable<> {
    co_await qmp->execute("device_del", json_id(device));
    co_await event->wait();
  };
  co_await with_deadline(ask(qmp_, id, gone), limit, std::move(what));
}

std::shared_ptr<Machine::GuestWord> Machine::guest_word(const std::string& id) {
  return words_[id] = std::make_shared<GuestWord>(executor_);
}

void Machine::hear_guest(const std::string& data) {
  const auto word = parse_guest_word(data);
  const auto found = word ? words_.find(word->device) : words_.end();
  if (found == words_.end()) return;
  found->second->status = word->status;
  found->second->said.set();
  words_.erase(found);
}

void Machine::on_event(const QmpEvent& event) {
  log::debug("QMP event", {{"event", event.name}, {"data", event.data.substr(0, 200)}});
  if (event.name == "ACPI_DEVICE_OST") hear_guest(event.data);
  if (event.name == "DEVICE_DELETED") {
    const auto found = leaving_.find(json_string_member(event.data, "device"));
    if (found != leaving_.end()) found->second->set();
  }
  std::string text;
  if (event.name == "GUEST_PANICKED") text = "guest kernel panicked";
  if (event.name == "SHUTDOWN") text = shutdown_text(json_string_member(event.data, "reason"));
  if (text.empty() || guest_failed_.is_set()) return;
  guest_failure_ = text;
  guest_failed_.set();
}

std::string Machine::panic_line() const {
  for (const std::string& line : console_log_.last(200)) {
    if (const size_t at = line.find("Kernel panic"); at != std::string::npos) return line.substr(at);
  }
  return {};
}

std::string Machine::exit_reason(const ExitStatus& status) const {
  if (guest_failed_.is_set()) {
    const std::string panic = panic_line();
    return panic.empty() ? guest_failure_ : "guest kernel panicked: " + panic;
  }
  if (phase_ == Phase::kStopping) return "stopped";
  if (status.signal != 0) return "QEMU was killed by " + status.text();
  std::string reason = "QEMU ended with " + status.text();
  const std::vector<std::string> words = error_log_.last(3);
  for (const std::string& line : words) reason += (line == words.front() ? ": " : "; ") + line;
  return reason;
}

}  // namespace kata::vmm::qemu
