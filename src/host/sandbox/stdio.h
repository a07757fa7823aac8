// The host's ends of a process's standard streams: where its output goes, where its input comes from.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "lib/async/awaitable.h"
#include "lib/fd/unique_fd.h"

namespace kata::sandbox {

// What the pod decides for the streams of all its processes.
struct StdioRules {
  // For log drivers.
  std::string containerd_namespace;
  // How long an ended process waits for a reader that takes nothing at all.
  Duration drain_limit = std::chrono::seconds(10);
};

// Takes the bytes of one output stream. Waiting for the reader is the back-pressure on the container.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  // Waits until the other side takes at least one byte; returns how many it took. `data` is not empty and
  // lives until then. Throws when nothing can ever be delivered again. Cancelled = nothing was taken.
  virtual Awaitable<size_t> write_some(std::string_view data) = 0;
};

// Gives the bytes of one input stream.
class InputSource {
 public:
  virtual ~InputSource() = default;
  // 1..limit bytes; empty at the end of the stream. A fifo has no end of its own: the caller of CloseIO tells
  // it, and a writer that goes away (a containerd that is restarted) may come back, as with runc's shim.
  // Cancelled = nothing was read.
  virtual Awaitable<std::string> read(size_t limit) = 0;
  // No more bytes are waiting right now: what was written so far has been read.
  [[nodiscard]] virtual bool drained() const = 0;
};

// Opens what a stdio string of containerd names (facts: containerd-shim-api, section 8): a path or fifo:// is
// a fifo, file:// appends to a file, ttrpc+unix:// is a stream of streaming.h; null for an empty string. A
// path that is no fifo, does not exist or is a folder is an Error that names it. The opening never waits for
// the other side.
std::unique_ptr<OutputSink> open_output(const asio::any_io_executor& executor, const std::string& uri);
// A pipe or socket of our own making. EPIPE is an Error of write().
std::unique_ptr<OutputSink> pipe_output(const asio::any_io_executor& executor, UniqueFd fd);
std::unique_ptr<InputSource> open_input(const asio::any_io_executor& executor, const std::string& uri);

}  // namespace kata::sandbox
