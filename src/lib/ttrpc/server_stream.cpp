#include "lib/ttrpc/server_stream.h"

#include <utility>

namespace kata::ttrpc {

ServerStream::ServerStream(std::weak_ptr<ServerConnection> connection, const asio::any_io_executor& executor,
                           uint32_t stream, StreamResult result)
    : connection_(std::move(connection)), inbox_(executor), stream_(stream), result_(result) {}

Awaitable<std::optional<std::string>> ServerStream::receive() {
  return receive_from(shared_from_this());
}

Awaitable<> ServerStream::send(std::string message) {
  return send_on(shared_from_this(), std::move(message));
}

Awaitable<std::optional<std::string>> ServerStream::receive_from(std::shared_ptr<ServerStream> self) {
  co_return co_await self->inbox_.receive();
}

Awaitable<> ServerStream::send_on(std::shared_ptr<ServerStream> self, std::string message) {
  const std::shared_ptr<ServerConnection> connection = self->connection_.lock();
  if (self->finished_ || !connection) throw Error(Code::kFailedPrecondition, "stream has ended");
  if (message.size() > kMaxDataLength)
    throw Error(Code::kResourceExhausted, "stream message exceeds the message limit");
  if (self->result_ == StreamResult::kSingle) {
    self->finished_ = true;
    connection->answer_stream(self->stream_, std::move(message));
  } else {
    connection->session_.send(self->stream_, std::move(message));
  }
  const std::shared_ptr<Channel> channel = connection->channel_;
  channel->flush();
  if (channel->congested()) co_await channel->relieved();
}

}  // namespace kata::ttrpc
