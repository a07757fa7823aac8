#include "lib/ttrpc/client_connection.h"

#include <exception>
#include <utility>
#include <variant>

#include <boost/asio/error.hpp>

#include "lib/ttrpc/stream_inbox.h"

namespace kata::ttrpc {

using boost::system::error_code;

ClientConnection::ClientConnection(StreamSocket socket, std::string peer)
    : peer_(std::move(peer)),
      channel_(std::make_shared<Channel>(std::move(socket), session_.input(), session_.output())),
      ended_(channel_->executor()) {}

ClientConnection::~ClientConnection() {
  channel_->close();
}

Awaitable<> ClientConnection::read(std::shared_ptr<ClientConnection> self) {
  try {
    error_code error;
    while (!error) {
      while (std::optional<ClientSession::Event> event = self->session_.next())
        self->dispatch(std::move(*event));
      error = co_await self->channel_->read();
    }
    self->close(self->end_text(error));
  } catch (const std::exception& error) {
    self->close(error.what());
  }
}

std::string ClientConnection::end_text(const error_code& error) {
  if (error != asio::error::eof) return error.message();
  return session_.input().inside_frame() ? "the peer closed it in the middle of a message"
                                         : "the peer closed it";
}

uint32_t ClientConnection::start(ClientSession::Kind kind, const RequestHead& head, std::string payload,
                                 Receiver& receiver) {
  if (ended_.is_set()) throw closed_error();
  const std::expected<uint32_t, Error> stream = session_.start(kind, head, std::move(payload));
  if (!stream) throw stream.error();
  receivers_.emplace(*stream, &receiver);
  channel_->flush();
  return *stream;
}

void ClientConnection::leave(uint32_t stream) {
  if (receivers_.erase(stream) > 0) session_.forget(stream);
}

void ClientConnection::close(const std::string& reason) {
  if (ended_.is_set()) return;
  reason_ = reason;
  channel_->close();
  ended_.set();
  for (const auto& [stream, receiver] : std::exchange(receivers_, {}))
    receiver->on_answer(std::unexpected(closed_error()));
}

Error ClientConnection::closed_error() const {
  return {Code::kUnavailable, "connection to " + peer_ + " is closed: " + reason_};
}

Receiver* ClientConnection::take(uint32_t stream) {
  const auto found = receivers_.find(stream);
  if (found == receivers_.end()) return nullptr;
  Receiver* const receiver = found->second;
  receivers_.erase(found);
  return receiver;
}

void ClientConnection::dispatch(ClientSession::Event event) {
  if (auto* const message = std::get_if<ClientSession::Message>(&event)) {
    on_message(std::move(*message));
  } else if (auto* const answer = std::get_if<ClientSession::Answer>(&event)) {
    if (Receiver* const receiver = take(answer->stream)) receiver->on_answer(std::move(answer->result));
  } else if (Receiver* const receiver = take(std::get<ClientSession::End>(event).stream)) {
    receiver->on_end();
  }
}

void ClientConnection::on_message(ClientSession::Message message) {
  const auto found = receivers_.find(message.stream);
  if (found == receivers_.end() ||
      found->second->on_message(std::move(message.data)) == Receiver::Taken::kYes)
    return;
  Receiver* const receiver = take(message.stream);
  session_.forget(message.stream);
  receiver->on_answer(std::unexpected(inbox_full_error()));
}

}  // namespace kata::ttrpc
