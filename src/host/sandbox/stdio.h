// The host's ends of a process's standard streams: where its output goes, where its input comes from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/async/awaitable.h"
#include "lib/fd/unique_fd.h"

namespace kata::sandbox {

// Takes the bytes of one output stream. The write waits until all are taken: that is the back-pressure on the
// container.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  // Throws Error when the bytes can never be delivered. Cancellable: the bytes written so far stay written.
  virtual Awaitable<> write(std::string data) = 0;
};

// Gives the bytes of one input stream.
class InputSource {
 public:
  virtual ~InputSource() = default;
  // 1..limit bytes; empty at the end of the stream (the last writer is gone).
  virtual Awaitable<std::string> read(size_t limit) = 0;
  // No more bytes are waiting right now: what was written so far has been read.
  [[nodiscard]] virtual bool drained() const = 0;
};

// Opens what a stdio string of containerd names (facts: containerd-shim-api, section 8): a path or fifo:// is
// a fifo, file:// appends to a file; null for an empty string. A path that is no fifo, does not exist or is a
// folder is an Error that names it. The opening never waits for the other side.
std::unique_ptr<OutputSink> open_output(const asio::any_io_executor& executor, const std::string& uri);
// A pipe or socket of our own making. EPIPE is an Error of write().
std::unique_ptr<OutputSink> pipe_output(const asio::any_io_executor& executor, UniqueFd fd);
std::unique_ptr<InputSource> open_input(const asio::any_io_executor& executor, const std::string& uri);

}  // namespace kata::sandbox
