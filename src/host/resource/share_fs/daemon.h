// A virtiofsd process under supervision.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "host/resource/share_fs/virtiofsd.h"
#include "lib/async/child_process.h"
#include "lib/async/event.h"
#include "lib/fd/unique_fd.h"

namespace kata::share_fs {

// A listening Unix stream socket; a file that lies there is replaced. kInvalidArgument when the path is too
// long for one.
UniqueFd listen_on(const std::string& path);

struct StartedVirtiofsd {
  std::shared_ptr<ChildProcess> child;
  // Our end of its stdout and stderr.
  UniqueFd output;
};

// In a session of its own and not tied to this process's life: it serves the VM also when the shim was
// killed.
StartedVirtiofsd start_virtiofsd(const asio::any_io_executor& executor, Flavour flavour,
                                 const VirtiofsdOptions& options,
                                 const std::vector<std::string>& cgroup_procs);

class VirtiofsdProcess : public std::enable_shared_from_this<VirtiofsdProcess> {
 public:
  VirtiofsdProcess(const asio::any_io_executor& executor, StartedVirtiofsd started,
                   VirtiofsdOptions::Verbosity verbosity);

  // Once, after construction: from here on its output goes to the log and its end is seen.
  void watch();
  // "virtiofsd ended with signal 9 (Killed): <last line>".
  Awaitable<std::string> end();
  // Returns when it is gone. It leaves by itself when the VM has gone, so it gets a moment before it is told
  // to.
  Awaitable<> stop();
  void kill();
  [[nodiscard]] pid_t pid() const { return child_->pid(); }

 private:
  Awaitable<> forward_output();
  Awaitable<> watch_process();
  void log_line(std::string line);

  asio::any_io_executor executor_;
  std::shared_ptr<ChildProcess> child_;
  asio::posix::stream_descriptor output_;
  VirtiofsdOptions::Verbosity verbosity_;
  Event output_read_, ended_;
  std::string last_line_, end_text_;
  // Lines logged in the current second; what comes on top is counted and dropped.
  TimePoint second_{};
  size_t lines_ = 0, dropped_ = 0;
};

}  // namespace kata::share_fs
