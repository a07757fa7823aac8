// The socket of a ttRPC connection: moves bytes between it and the queues of a session. Client and server
// share it.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

#include "lib/async/awaitable.h"
#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/socket.h"

namespace kata::ttrpc {

// One reader and one writer at a time. The queues belong to the session that its owner holds; the owner calls
// close() before the session dies.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // Above the first number of bytes in the queue senders should wait, until it has fallen below the second.
  static constexpr size_t kHighWater = size_t{8} << 20;
  static constexpr size_t kLowWater = size_t{1} << 20;

  Channel(StreamSocket socket, FrameReader& input, OutQueue& output);

  // Reads what there is, at least one byte, into the frame reader. Any error is final; eof when the peer
  // closed.
  Awaitable<boost::system::error_code> read();
  // Writes as much of the queue as the socket takes now; the rest follows by itself.
  void flush();
  [[nodiscard]] bool congested() const { return output_.bytes() > kHighWater; }
  // Waits until the queue has fallen below the low-water mark, or has been given up.
  Awaitable<> relieved();
  // Waits until the queue is empty or given up, at most `limit`.
  Awaitable<> drained(Duration limit);
  // Ends a pending read (with operation_aborted) and all waits; later ones return at once. Writing goes on.
  void stop_reading();
  void close();
  [[nodiscard]] bool is_open() const { return socket_.is_open(); }
  [[nodiscard]] asio::any_io_executor executor() { return socket_.get_executor(); }

 private:
  void write_some();
  void wait_writable();
  void on_write_error();
  void wake();

  StreamSocket socket_;
  FrameReader& input_;
  OutQueue& output_;
  // Cancelled whenever bytes were written, and at the end.
  asio::steady_timer progress_;
  asio::steady_timer drain_;
  bool waiting_ = false;
  bool write_failed_ = false;
  bool reading_stopped_ = false;
};

}  // namespace kata::ttrpc
