#include "lib/ttrpc/stream_inbox.h"

#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace kata::ttrpc {

StreamInbox::StreamInbox(const asio::any_io_executor& executor)
    : changed_(executor, asio::steady_timer::time_point::max()) {}

StreamInbox::Taken StreamInbox::push(std::string message) {
  if (ended_) return Taken::kYes;
  if (messages_.size() >= kMaxMessages || bytes_ + message.size() > kMaxBytes) return Taken::kFull;
  bytes_ += message.size();
  messages_.push_back(std::move(message));
  changed_.cancel();
  return Taken::kYes;
}

void StreamInbox::end() {
  ended_ = true;
  changed_.cancel();
}

void StreamInbox::fail(Error error) {
  if (!ended_) error_ = std::move(error);
  end();
}

Awaitable<std::optional<std::string>> StreamInbox::receive() {
  while (messages_.empty() && !ended_) {
    boost::system::error_code ignored;
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
  if (!messages_.empty()) {
    std::string message = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= message.size();
    co_return message;
  }
  if (error_) throw Error(*error_);
  co_return std::nullopt;
}

Error inbox_full_error() {
  return {Code::kResourceExhausted, "stream has more unread messages than its receiver may leave waiting"};
}

}  // namespace kata::ttrpc
