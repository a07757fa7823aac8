#include "host/sandbox/guest_stream.h"

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

// One read of the guest's output. Two chunks for each stream are the most that a stalled reader makes us
// hold.
constexpr uint32_t kChunk = 256 * 1024;
// What a stream has carried before a connection of its own pays.
constexpr uint64_t kMuch = 768 * 1024;

}  // namespace

GuestStream::GuestStream(StreamOwner owner, Kind kind) : owner_(std::move(owner)), kind_(kind) {}

Awaitable<> GuestStream::move_when_much() {
  if (tried_ || owner_.terminal || carried_ < kMuch) co_return;
  tried_ = true;
  try {
    direct_ = co_await owner_.agent->open_stream(owner_.container_id, owner_.exec_id, kind_);
  } catch (const Error& error) {
    log::debug("a stream keeps to the calls",
               {{"container", owner_.container_id}, {"exec", owner_.exec_id}, {"error", error.message()}});
  }
}

Awaitable<std::string> GuestStream::read() {
  co_await move_when_much();
  std::string data;
  if (!direct_) {
    data = co_await owner_.agent->read(owner_.container_id, owner_.exec_id, kind_, kChunk);
    carried_ += data.size();
    co_return data;
  }
  data.resize_and_overwrite(kChunk, [](char*, size_t size) { return size; });
  boost::system::error_code error;
  const size_t size =
      co_await direct_->async_read_some(asio::buffer(data), asio::redirect_error(asio::use_awaitable, error));
  if (error && error != asio::error::eof) throw boost::system::system_error(error);
  data.resize(size);
  co_return data;
}

Awaitable<> GuestStream::write(std::string data) {
  co_await move_when_much();
  if (direct_) {
    co_await asio::async_write(*direct_, asio::buffer(data), asio::use_awaitable);
    co_return;
  }
  carried_ += data.size();
  co_await owner_.agent->write_stdin(owner_.container_id, owner_.exec_id, std::move(data));
}

Awaitable<> GuestStream::finish() {
  if (owner_.terminal) co_return;
  if (!direct_) {
    co_await owner_.agent->close_stdin(owner_.container_id, owner_.exec_id);
    co_return;
  }
  direct_->shutdown(StreamSocket::shutdown_send);
  char byte = 0;
  boost::system::error_code error;
  co_await direct_->async_read_some(asio::buffer(&byte, 1), asio::redirect_error(asio::use_awaitable, error));
}

}  // namespace kata::sandbox
