#include "lib/async/task_group.h"

#include <exception>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace kata {
namespace {

bool is_cancellation(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const boost::system::system_error& error) {
    return error.code() == asio::error::operation_aborted;
  } catch (const Error& error) {
    return error.code() == Code::kCancelled;
  } catch (...) {
    return false;
  }
}

// A task that cancels its own group and then ends without having waited is still cancelled when Asio's frame
// around it waits; the error of that wait would leave the event loop, and nobody would hear of the task's
// end.
Awaitable<> shielded(Awaitable<> task) {
  std::exception_ptr failure;
  try {
    co_await std::move(task);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor, ErrorHandler on_error)
    : executor_(std::move(executor)), shared_(std::make_shared<Shared>(executor_)) {
  shared_->on_error = std::move(on_error);
}

TaskGroup::~TaskGroup() {
  shared_->on_error = nullptr;
  cancel();
}

void TaskGroup::spawn(std::string name, Awaitable<> task) {
  const auto entry = shared_->running.emplace(shared_->running.end());
  entry->name = std::move(name);
  auto finished = [shared = shared_, entry](const std::exception_ptr& exception) {
    if (exception && shared->on_error && !is_cancellation(exception)) {
      shared->on_error(entry->name, to_error(exception));
    }
    shared->running.erase(entry);
    if (shared->running.empty()) shared->idle.cancel();
  };
  asio::co_spawn(executor_, shielded(std::move(task)),
                 asio::bind_cancellation_slot(entry->signal.slot(), std::move(finished)));
}

void TaskGroup::cancel() {
  // Emitting may end a task at once and erase its entry: step first.
  for (auto it = shared_->running.begin(); it != shared_->running.end();) {
    Running& entry = *it++;
    entry.signal.emit(asio::cancellation_type::all);
  }
}

Awaitable<> TaskGroup::join() {
  const std::shared_ptr<Shared> shared = shared_;
  while (!shared->running.empty()) {
    boost::system::error_code error;
    co_await shared->idle.async_wait(asio::redirect_error(asio::use_awaitable, error));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
}

}  // namespace kata
