// Children of an object: coroutines that end before it does.
#pragma once

#include <functional>
#include <list>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/error/error.h"

namespace kata {

// Spawned coroutines belong to the group: cancel() asks all of them to end, join() waits until they have. An
// error that leaves a task goes to the group's handler with the task's name (cancellation is no error).
// Destroying a group with running tasks cancels them; they must not use what dies with the group, so owners
// join first.
class TaskGroup {
 public:
  using ErrorHandler = std::function<void(std::string_view task, const Error& error)>;

  TaskGroup(asio::any_io_executor executor, ErrorHandler on_error);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(std::string name, Awaitable<> task);
  void cancel();
  // Waits until no task runs. Several callers may wait.
  Awaitable<> join();
  [[nodiscard]] size_t size() const { return shared_->running.size(); }

 private:
  struct Running {
    std::string name;
    asio::cancellation_signal signal;
  };
  // Outlives the group while tasks of it still unwind.
  struct Shared {
    explicit Shared(const asio::any_io_executor& executor)
        : idle(executor, asio::steady_timer::time_point::max()) {}
    std::list<Running> running;
    asio::steady_timer idle;
    ErrorHandler on_error;
  };

  asio::any_io_executor executor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace kata
