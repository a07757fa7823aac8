// A log driver: the program that containerd's binary:// and binary-v2:// stdio names (facts:
// containerd-shim-api, section 8).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/sandbox/stdio.h"
#include "lib/async/child_process.h"

namespace kata::sandbox {

// "binary:///path?key=value&flag": the program, then key and value of each pair as arguments, decoded.
// kInvalidArgument unless the path is absolute.
struct LogDriverUri {
  enum class Version { kOne, kTwo };
  Version version = Version::kOne;
  std::vector<std::string> argv;
};
bool is_log_driver(const std::string& uri);
LogDriverUri parse_log_driver(const std::string& uri);

// Gets stdout as descriptor 3, stderr as 4, and tells by 5 that it is ready.
class LogDriver {
 public:
  // Starts the program and waits until it is ready, at most ten seconds. Version two must write a byte:
  // closing without one means that it died.
  static Awaitable<std::shared_ptr<LogDriver>> start(std::string uri, std::string container_id,
                                                     std::string containerd_namespace);

  // Our ends of its two pipes, once.
  std::unique_ptr<OutputSink> take_stdout() { return std::move(stdout_); }
  std::unique_ptr<OutputSink> take_stderr() { return std::move(stderr_); }
  // After both sinks are gone: gives it a moment to write its last lines, then ends it.
  Awaitable<> finish();

 private:
  std::shared_ptr<ChildProcess> child_;
  std::unique_ptr<OutputSink> stdout_, stderr_;
};

}  // namespace kata::sandbox
