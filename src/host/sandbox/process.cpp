#include "host/sandbox/process.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include "host/sandbox/guest_stream.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;

// One read of the client's input.
constexpr size_t kInputChunk = 256 * 1024;
// How long the guest may take to hand over what nobody reads, so that it can be counted.
constexpr Duration kCountLimit = 2s;

}  // namespace

Process::Process(const asio::any_io_executor& executor, std::string container_id, std::string exec_id,
                 Stdio stdio)
    : executor_(executor),
      container_id_(std::move(container_id)),
      exec_id_(std::move(exec_id)),
      stdio_(std::move(stdio)),
      mutex_(executor_),
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
      drop_(executor),
      outputs_done_(executor),
      drain_limited_(executor),
      close_stdin_asked_(executor),
      stdin_closed_(executor),
      exited_(executor) {}

std::string Process::name() const {
  return exec_id_.empty() ? "container " + container_id_
                          : "exec " + exec_id_ + " of container " + container_id_;
}

Awaitable<> Process::open_stdio(StdioRules rules) {
  const auto self = shared_from_this();
  drain_limit_ = rules.drain_limit;
  with_context("stdin of " + name(), [&] { stdin_ = open_input(executor_, stdio_.in); });
  if (is_log_driver(stdio_.out)) {
    // One program takes both streams.
    log_driver_ = co_await LogDriver::start(stdio_.out, container_id_, std::move(rules.containerd_namespace));
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
  exit_watch_ = ExitWatch::kRunning;
  inputs_.spawn("exit", watch_exit());
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

Awaitable<> Process::write_all(OutputSink* sink, std::string_view* data) {
  while (!data->empty()) {
    const size_t taken = co_await sink->write_some(*data);
    data->remove_prefix(taken);
    delivered_ += taken;
  }
}

Awaitable<> Process::deliver(OutputSink* sink, std::string data) {
  if (sink == nullptr || data.empty()) co_return;
  std::string_view rest = data;
  std::exception_ptr failure;
  if (!drop_.is_set()) {
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor_, write_all(sink, &rest), asio::deferred),
        asio::co_spawn(executor_, drop_.wait(), asio::deferred));
    auto [order, write_error, drop_error] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (order[0] == 0) failure = write_error;
  }
  if (failure) std::rethrow_exception(failure);
  dropped_ += rest.size();
}

Awaitable<> Process::pump_output(agent::AgentClient::Stream stream, std::unique_ptr<OutputSink> sink) {
  const auto self = shared_from_this();
  struct Ended {
    Process& process;
    ~Ended() { process.output_ended(); }
  } const ended{*this};
  GuestStream guest({agent_, container_id_, exec_id_, stdio_.terminal}, stream);
  std::string pending;
  for (;;) {
    // The next chunk is fetched while this one is written. A reader that stalls thus costs two chunks and
    // stops the writer in the guest.
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor_, guest.read(), asio::deferred),
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

Awaitable<> Process::forward_rest(InputSource& source, GuestStream& guest) {
  while (!source.drained()) {
    std::string data = co_await source.read(kInputChunk);
    if (data.empty()) co_return;
    co_await guest.write(std::move(data));
  }
}

Awaitable<> Process::pump_input(std::unique_ptr<InputSource> source) {
  const auto self = shared_from_this();
  struct Closed {
    Event& event;
    ~Closed() { event.set(); }
  } const closed{stdin_closed_};
  GuestStream guest({agent_, container_id_, exec_id_, stdio_.terminal}, GuestStream::Kind::kStdin);
  for (;;) {
    auto group = asio::experimental::make_parallel_group(
        asio::co_spawn(executor_, source->read(kInputChunk), asio::deferred),
        asio::co_spawn(executor_, close_stdin_asked_.wait(), asio::deferred));
    auto [order, read_error, data, asked_error] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) co_return;
    if (!read_error && !data.empty()) {
      co_await guest.write(std::move(data));
      continue;
    }
    if (order[0] == 1) co_await forward_rest(*source, guest);
    break;
  }
  // A terminal stays open when its keyboard goes: only a hang-up would tell the process, and nobody asked for
  // that.
  co_await guest.finish();
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
  killed_ = true;
  // An agent that tells the exit makes the limit exact.
  if (exit_watch_ != ExitWatch::kRunning) drain_limited_.set();
}

Awaitable<> Process::watch_exit() {
  const auto self = shared_from_this();
  try {
    const auto end = co_await agent_->wait_exit(container_id_, exec_id_);
    seen_exit_ = ExitInfo{.status = static_cast<uint32_t>(end.status), .at = end.at};
  } catch (const Error& error) {
    exit_watch_ = ExitWatch::kUnsupported;
    if (error.code() == Code::kUnimplemented && !killed_) co_return;
  }
  drain_limited_.set();
}

// Until all output has been delivered, for at most `limit`.
Awaitable<> Process::wait_for_outputs(Duration limit) {
  try {
    co_await with_deadline(outputs_done_.wait(), limit, "output of " + name());
  } catch (const Error&) {
    co_return;
  }
}

// Returns when the process has ended and nobody has taken a byte for as long as the limit.
Awaitable<> Process::drain_over() {
  const auto self = shared_from_this();
  co_await drain_limited_.wait();
  uint64_t before = 0;
  do {
    before = delivered_;
    co_await pause_for(drain_limit_);
  } while (delivered_ != before);
}

Awaitable<> Process::drop_output() {
  drop_.set();
  co_await wait_for_outputs(kCountLimit);
  log::warning("output of an ended process is dropped: nobody reads it",
               {{"process", name()}, {"bytes", std::to_string(dropped_)}});
  outputs_.cancel();
}

Awaitable<ExitInfo> Process::collect() {
  const auto self = shared_from_this();
  auto group =
      asio::experimental::make_parallel_group(asio::co_spawn(executor_, outputs_done_.wait(), asio::deferred),
                                              asio::co_spawn(executor_, drain_over(), asio::deferred));
  co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (!outputs_done_.is_set()) co_await drop_output();
  std::optional<uint32_t> status;
  try {
    status = static_cast<uint32_t>(co_await agent_->wait_process(container_id_, exec_id_));
  } catch (const Error& error) {
    // Whoever ended the sandbox has told the exit already.
    if (!stopped() && !seen_exit_)
      log::warning("exit status of a process is not known",
                   {{"process", name()}, {"error", error.message()}});
  }
  inputs_.cancel();
  if (seen_exit_) co_return *seen_exit_;
  constexpr uint32_t kLost = 255;
  co_return ExitInfo{.status = status.value_or(kLost), .at = std::chrono::system_clock::now()};
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

void Process::finish(ExitInfo exit) {
  if (stopped()) return;
  state_ = ProcessState::kStopped;
  exit_ = exit;
  exited_.set();
}

Awaitable<ExitInfo> Process::wait() {
  const auto self = shared_from_this();
  co_await exited_.wait();
  co_return exit_;
}

}  // namespace kata::sandbox
