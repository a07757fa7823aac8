#include "host/sandbox/process.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;

// One read of the guest's output. Large, because each costs a round trip into the VM; two of them are the
// most that a stalled reader makes us hold.
constexpr uint32_t kOutputChunk = 128 * 1024;
constexpr size_t kInputChunk = 64 * 1024;
// How long a killed process's last output waits for a reader that does not read.
constexpr Duration kDrainLimit = 10s;

}  // namespace

Process::Process(const asio::any_io_executor& executor, std::string container_id, std::string exec_id,
                 Stdio stdio)
    : executor_(executor),
      container_id_(std::move(container_id)),
      exec_id_(std::move(exec_id)),
      stdio_(std::move(stdio)),
      outputs_(executor,
               [this](std::string_view task, const Error& error) {
                 log::warning(
                     "stream of a process failed",
                     {{"stream", std::string(task)}, {"process", name()}, {"error", error.message()}});
               }),
      inputs_(executor,
              [this](std::string_view task, const Error& error) {
                log::debug("stream of a process ended",
                           {{"stream", std::string(task)}, {"process", name()}, {"error", error.message()}});
              }),
      outputs_done_(executor),
      drain_limited_(executor),
      close_stdin_asked_(executor),
      stdin_closed_(executor),
      exited_(executor) {}

std::string Process::name() const {
  return exec_id_.empty() ? "container " + container_id_
                          : "exec " + exec_id_ + " of container " + container_id_;
}

Awaitable<> Process::open_stdio(std::string containerd_namespace) {
  const auto self = shared_from_this();
  with_context("stdin of " + name(), [&] { stdin_ = open_input(executor_, stdio_.in); });
  if (is_log_driver(stdio_.out)) {
    // One program takes both streams.
    log_driver_ = co_await LogDriver::start(stdio_.out, container_id_, std::move(containerd_namespace));
    stdout_ = log_driver_->take_stdout();
    if (!stdio_.terminal && is_log_driver(stdio_.err)) stderr_ = log_driver_->take_stderr();
    co_return;
  }
  with_context("stdout of " + name(), [&] { stdout_ = open_output(executor_, stdio_.out); });
  // A terminal has one output.
  if (!stdio_.terminal)
    with_context("stderr of " + name(), [&] { stderr_ = open_output(executor_, stdio_.err); });
}

void Process::start_streams(std::shared_ptr<agent::AgentClient> agent) {
  agent_ = std::move(agent);
  open_outputs_ = stdio_.terminal ? 1 : 2;
  outputs_.spawn("stdout", pump_output(agent::AgentClient::Stream::kStdout, std::move(stdout_)));
  if (!stdio_.terminal)
    outputs_.spawn("stderr", pump_output(agent::AgentClient::Stream::kStderr, std::move(stderr_)));
  if (stdin_) {
    inputs_.spawn("stdin", pump_input(std::move(stdin_)));
  } else {
    stdin_closed_.set();
    // Without a stdin the process sees an end of file at once, as with every other runtime.
    auto close = [](std::shared_ptr<Process> self) -> Awaitable<> {
      if (!self->stdio_.terminal) co_await self->agent_->close_stdin(self->container_id_, self->exec_id_);
    };
    inputs_.spawn("stdin", close(shared_from_this()));
  }
}

Awaitable<> Process::deliver(OutputSink* sink, std::string data) {
  if (sink == nullptr || data.empty()) co_return;
  undelivered_ += data.size();
  const size_t size = data.size();
  co_await sink->write(std::move(data));
  undelivered_ -= size;
}

Awaitable<> Process::pump_output(agent::AgentClient::Stream stream, std::unique_ptr<OutputSink> sink) {
  const auto self = shared_from_this();
  struct Ended {
    Process& process;
    ~Ended() { process.output_ended(); }
  } const ended{*this};
  std::string pending;
  for (;;) {
    // The next chunk is fetched while this one is written. A reader that stalls thus costs two chunks and
    // stops the writer in the guest.
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor_, agent_->read(container_id_, exec_id_, stream, kOutputChunk),
                       asio::deferred),
        asio::co_spawn(executor_, deliver(sink.get(), std::move(pending)), asio::deferred));
    auto [order, read_error, next, write_error] =
        co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) co_return;
    if (write_error) {
      // The host's end is broken for good; the process must not block on it.
      log::warning("output of a process is lost",
                   {{"process", name()}, {"error", to_error(write_error).message()}});
      sink.reset();
    }
    // An error of the agent ends the stream like an end of file (facts: agent-api 3.2).
    if (read_error || next.empty()) co_return;
    pending = std::move(next);
  }
}

void Process::output_ended() {
  if (--open_outputs_ == 0) outputs_done_.set();
}

Awaitable<> Process::forward_rest(InputSource& source) {
  while (!source.drained()) {
    std::string data = co_await source.read(kInputChunk);
    if (data.empty()) co_return;
    co_await agent_->write_stdin(container_id_, exec_id_, std::move(data));
  }
}

Awaitable<> Process::pump_input(std::unique_ptr<InputSource> source) {
  const auto self = shared_from_this();
  struct Closed {
    Event& event;
    ~Closed() { event.set(); }
  } const closed{stdin_closed_};
  for (;;) {
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor_, source->read(kInputChunk), asio::deferred),
        asio::co_spawn(executor_, close_stdin_asked_.wait(), asio::deferred));
    auto [order, read_error, data, asked_error] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) co_return;
    if (!read_error && !data.empty()) {
      co_await agent_->write_stdin(container_id_, exec_id_, std::move(data));
      continue;
    }
    if (order[0] == 1) co_await forward_rest(*source);
    break;
  }
  // A terminal stays open when its keyboard goes: only a hang-up would tell the process, and nobody asked for
  // that.
  if (!stdio_.terminal) co_await agent_->close_stdin(container_id_, exec_id_);
}

Awaitable<> Process::close_stdin() {
  const auto self = shared_from_this();
  if (!agent_) {
    close_stdin_asked_.set();
    co_return;
  }
  if (stdio_.terminal) co_return;
  close_stdin_asked_.set();
  // A process that does not read its stdin must not hold the caller: the pump goes on in the background.
  try {
    co_await with_deadline(stdin_closed_.wait(), 5s, "closing stdin of " + name());
  } catch (const Error& error) {
    log::debug("stdin is still being forwarded", {{"process", name()}, {"reason", error.message()}});
  }
}

void Process::limit_drain() {
  drain_limited_.set();
}

Awaitable<uint32_t> Process::collect() {
  const auto self = shared_from_this();
  auto limited = [](std::shared_ptr<Process> process) -> Awaitable<> {
    co_await process->drain_limited_.wait();
    co_await pause_for(kDrainLimit);
  };
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor_, outputs_done_.wait(), asio::deferred),
                                              asio::co_spawn(executor_, limited(self), asio::deferred));
  co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (!outputs_done_.is_set()) {
    log::warning("output of a killed process is dropped: nobody reads it",
                 {{"process", name()}, {"bytes", std::to_string(undelivered_)}});
    outputs_.cancel();
  }
  inputs_.cancel();
  try {
    co_return static_cast<uint32_t>(co_await agent_->wait_process(container_id_, exec_id_));
  } catch (const Error& error) {
    // Whoever ended the sandbox has told the exit already.
    if (!stopped())
      log::warning("exit status of a process is not known",
                   {{"process", name()}, {"error", error.message()}});
  }
  constexpr uint32_t kLost = 255;
  co_return kLost;
}

Awaitable<> Process::close_streams() {
  const auto self = shared_from_this();
  inputs_.cancel();
  outputs_.cancel();
  co_await inputs_.join();
  co_await outputs_.join();
  stdout_.reset();
  stderr_.reset();
  stdin_.reset();
  if (const auto driver = std::exchange(log_driver_, nullptr)) co_await driver->finish();
}

void Process::finish(uint32_t status) {
  if (stopped()) return;
  state_ = ProcessState::kStopped;
  exit_ = {.status = status, .at = std::chrono::system_clock::now()};
  exited_.set();
}

Awaitable<ExitInfo> Process::wait() {
  const auto self = shared_from_this();
  co_await exited_.wait();
  co_return exit_;
}

}  // namespace kata::sandbox
