#include "lib/ttrpc/channel.h"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>

namespace kata::ttrpc {

using boost::system::error_code;

Channel::Channel(StreamSocket socket, FrameReader& input, OutQueue& output)
    : socket_(std::move(socket)),
      input_(input),
      output_(output),
      progress_(socket_.get_executor(), asio::steady_timer::time_point::max()),
      drain_(socket_.get_executor(), asio::steady_timer::time_point::max()) {}

Awaitable<error_code> Channel::read() {
  const std::shared_ptr<Channel> self = shared_from_this();
  if (reading_stopped_ || !socket_.is_open()) co_return asio::error::operation_aborted;
  const auto pieces = input_.prepare();
  const std::array<asio::mutable_buffer, 2> buffers{asio::buffer(pieces[0].data(), pieces[0].size()),
                                                    asio::buffer(pieces[1].data(), pieces[1].size())};
  error_code error;
  const size_t count =
      co_await socket_.async_read_some(buffers, asio::redirect_error(asio::use_awaitable, error));
  if (!error && !socket_.is_open()) error = asio::error::operation_aborted;
  if (!error) input_.commit(count);
  co_return error;
}

void Channel::flush() {
  if (!waiting_) write_some();
}

void Channel::write_some() {
  // After close() the queue may be gone.
  if (!socket_.is_open()) return;
  const size_t before = output_.bytes();
  if (write_failed_) output_.clear();
  while (!output_.empty()) {
    std::array<std::span<const char>, OutQueue::kMaxPieces> pieces;
    std::array<iovec, OutQueue::kMaxPieces> vectors;
    const size_t used = output_.gather(pieces);
    for (size_t i = 0; i < used; ++i) vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = used;
    const ssize_t written = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written > 0) {
      output_.consume(static_cast<size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_writable();
      break;
    } else if (errno != EINTR) {
      on_write_error();
    }
  }
  if (output_.bytes() < before) wake();
}

void Channel::wait_writable() {
  waiting_ = true;
  socket_.async_wait(StreamSocket::wait_write, [self = shared_from_this()](const error_code&) {
    // An abort by stop_reading() is no reason to stop writing; a closed socket is seen by write_some().
    self->waiting_ = false;
    self->flush();
  });
}

void Channel::on_write_error() {
  write_failed_ = true;
  output_.clear();
  wake();
  // The reader sees the end of the connection, after what had arrived before.
  error_code ignored;
  socket_.shutdown(StreamSocket::shutdown_both, ignored);
}

void Channel::wake() {
  progress_.cancel();
  drain_.cancel();
}

Awaitable<> Channel::relieved() {
  const std::shared_ptr<Channel> self = shared_from_this();
  while (socket_.is_open() && !reading_stopped_ && output_.bytes() > kLowWater) {
    error_code ignored;
    co_await progress_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

Awaitable<> Channel::drained(Duration limit) {
  const std::shared_ptr<Channel> self = shared_from_this();
  drain_.expires_after(limit);
  flush();
  while (socket_.is_open() && !output_.empty() && drain_.expiry() > std::chrono::steady_clock::now()) {
    error_code ignored;
    co_await drain_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void Channel::stop_reading() {
  reading_stopped_ = true;
  error_code ignored;
  if (socket_.is_open()) socket_.cancel(ignored);
  wake();
}

void Channel::close() {
  if (!socket_.is_open()) return;
  reading_stopped_ = true;
  output_.clear();
  error_code ignored;
  socket_.close(ignored);
  wake();
}

}  // namespace kata::ttrpc
