// Waiting for changes of a cgroup file (cgroup.events, memory.events: the kernel reports them to inotify).
#pragma once

#include <string>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "lib/async/awaitable.h"

namespace kata::cgroup {

class FileWatch {
 public:
  // Starts to watch: a change after this is seen by the next wait(). Throws when the file is not there.
  FileWatch(const asio::any_io_executor& executor, const std::string& path);
  // Returns after one change or more. Look at the file first, then wait.
  Awaitable<> wait();

 private:
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace kata::cgroup
