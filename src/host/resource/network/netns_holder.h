// A process in a pod's network namespace, for those who are told a namespace by a pid.
#pragma once

#include <memory>
#include <string>
#include <sys/types.h>

#include "lib/async/awaitable.h"
#include "lib/async/child_process.h"
#include "lib/fd/unique_fd.h"

namespace kata::network {

// Does nothing but be there: ends with end(), with its object, or with this process.
class NetnsHolder {
 public:
  // In the namespace at `path`, or in a new one that has nothing but loopback if that is empty.
  static Awaitable<std::unique_ptr<NetnsHolder>> start(std::string path);
  ~NetnsHolder();
  NetnsHolder(const NetnsHolder&) = delete;
  NetnsHolder& operator=(const NetnsHolder&) = delete;

  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  // Keeps the namespace beyond the process.
  [[nodiscard]] UniqueFd open() const;
  Awaitable<> end();

 private:
  explicit NetnsHolder(std::shared_ptr<ChildProcess> child) : child_(std::move(child)) {}

  std::shared_ptr<ChildProcess> child_;
};

}  // namespace kata::network
