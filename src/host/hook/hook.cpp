#include "host/hook/hook.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::hook {
namespace {

// Of standard error: more than a line that anybody reads.
constexpr size_t kKept = 4096;
constexpr Duration kRestLimit = std::chrono::milliseconds(100);

std::string_view status_of(Kind kind) {
  switch (kind) {
    case Kind::kPrestart:
    case Kind::kCreateRuntime:
      return "creating";
    case Kind::kPoststart:
      return "running";
    case Kind::kPoststop:
      return "stopped";
  }
  return "";
}

// The end of what a hook writes to its standard error, read while it runs so that it never waits.
class ErrorTail : public std::enable_shared_from_this<ErrorTail> {
 public:
  ErrorTail(const asio::any_io_executor& executor, UniqueFd pipe)
      : pipe_(executor, pipe.release()), read_(executor) {}

  Awaitable<> read() {
    const auto self = shared_from_this();
    std::array<char, 1024> chunk;
    boost::system::error_code error;
    while (!error) {
      const size_t n = co_await pipe_.async_read_some(asio::buffer(chunk),
                                                      asio::redirect_error(asio::use_awaitable, error));
      text_.append(chunk.data(), n);
      if (text_.size() > kKept) text_.erase(0, text_.size() - kKept);
    }
    read_.set();
  }
  // After the end of the hook.
  Awaitable<std::string> last_line() {
    const auto self = shared_from_this();
    try {
      co_await with_deadline(read_.wait(), kRestLimit, "the rest of what a hook said");
    } catch (const Error&) {
      // Something that it left running holds the pipe.
      pipe_.cancel();
    }
    co_await read_.wait();
    while (!text_.empty() && (text_.back() == '\n' || text_.back() == ' ')) text_.pop_back();
    co_return text_.substr(text_.rfind('\n') + 1);
  }

 private:
  asio::posix::stream_descriptor pipe_;
  Event read_;
  std::string text_;
};

void check(const oci::Hook& hook) {
  if (!hook.path.starts_with('/')) throw Error(Code::kInvalidArgument, "the path is not absolute");
  if (hook.timeout < 0)
    throw Error(Code::kInvalidArgument, "timeout " + std::to_string(hook.timeout) + " is negative");
}

Duration limit_of(const oci::Hook& hook, const Rules& rules) {
  constexpr int64_t kDay = 86400;
  if (hook.timeout == 0) return rules.limit;
  const Duration own = std::chrono::seconds(std::min(hook.timeout, kDay));
  return rules.limit < kLimit ? std::min(own, rules.limit) : own;
}

std::shared_ptr<ChildProcess> start(const asio::any_io_executor& executor, const oci::Hook& hook,
                                    const State& state, int input, int errors, Rules::Late late) {
  Command command;
  command.program = hook.path;
  command.argv = hook.args.empty() ? std::vector{hook.path} : hook.args;
  command.env = hook.env;
  command.working_directory = state.bundle;
  command.stdin_fd = input;
  command.stderr_fd = errors;
  // A group of its own, to end it whole.
  command.session = Command::Session::kOwn;
  if (late == Rules::Late::kKilled) command.parent_death = Command::ParentDeath::kKill;
  return ChildProcess::start(executor, command);
}

Awaitable<> run_one(const oci::Hook& hook, const std::string& json, const State& state, const Rules& rules) {
  check(hook);
  const auto executor = co_await asio::this_coro::executor;
  const UniqueFd input = memory_file("hook-state", json, json.size(), "the state for a hook");
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  UniqueFd writer(ends[1]);
  const auto tail = std::make_shared<ErrorTail>(executor, UniqueFd(ends[0]));
  const auto child = start(executor, hook, state, input.get(), writer.get(), rules.late);
  writer.reset();
  asio::co_spawn(executor, tail->read(), asio::detached);
  std::exception_ptr failure;
  ExitStatus status;
  try {
    status = co_await with_deadline(child->wait(), limit_of(hook, rules), "waiting for its end");
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure && rules.late == Rules::Late::kKilled) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    // Not reaped yet, so that the group is still its.
    if (!child->status()) ::kill(-child->pid(), SIGKILL);
    co_await child->wait();
  }
  const std::string said = co_await tail->last_line();
  const std::string suffix = said.empty() ? std::string() : ": " + said;
  if (failure) {
    const Error error = to_error(failure);
    throw Error(error.code(), error.message() + suffix);
  }
  if (status.code != 0) throw Error(Code::kFailedPrecondition, status.text() + suffix);
}

std::string title(Kind kind, size_t number, const oci::Hook& hook) {
  return std::string(kind_name(kind)) + " hook #" + std::to_string(number) + " " + hook.path;
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kPrestart:
      return "prestart";
    case Kind::kCreateRuntime:
      return "createRuntime";
    case Kind::kPoststart:
      return "poststart";
    case Kind::kPoststop:
      return "poststop";
  }
  return "";
}

std::string state_json(Kind kind, const State& state) {
  namespace json = boost::json;
  json::object annotations;
  for (const auto& [key, value] : state.annotations) annotations[key] = value;
  json::object root{
      {"ociVersion", "1.0.2"}, {"id", state.id}, {"status", status_of(kind)}, {"bundle", state.bundle}};
  if (state.pid != 0) root["pid"] = state.pid;
  if (!annotations.empty()) root["annotations"] = std::move(annotations);
  return json::serialize(root);
}

Awaitable<> run(Kind kind, std::vector<oci::Hook> hooks, State state, Rules rules) {
  const std::string json = state_json(kind, state);
  for (size_t i = 0; i < hooks.size(); ++i) {
    std::exception_ptr failure;
    try {
      co_await run_one(hooks[i], json, state, rules);
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) throw to_error(failure).within(title(kind, i, hooks[i]));
  }
}

Awaitable<> run_all(Kind kind, std::vector<oci::Hook> hooks, State state, Rules rules) {
  const std::string json = state_json(kind, state);
  for (size_t i = 0; i < hooks.size(); ++i) {
    try {
      co_await run_one(hooks[i], json, state, rules);
    } catch (const Error& error) {
      log::warning("a hook failed",
                   {{"hook", title(kind, i, hooks[i])}, {"container", state.id}, {"error", error.message()}});
    }
  }
}

}  // namespace kata::hook
