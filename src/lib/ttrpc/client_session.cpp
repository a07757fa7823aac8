#include "lib/ttrpc/client_session.h"

#include <utility>

namespace kata::ttrpc {
namespace {

// Go's server does not survive a wrap of the ids, so the connection ends before it.
constexpr uint32_t kLastStream = 0x7fffffff;

uint8_t opening_flags(ClientSession::Kind kind) {
  switch (kind) {
    case ClientSession::Kind::kUnary:
      return 0;
    case ClientSession::Kind::kBidirectional:
      return kFlagRemoteOpen;
    case ClientSession::Kind::kServerStream:
      return kFlagRemoteClosed;
  }
  return 0;
}

}  // namespace

std::expected<uint32_t, Error> ClientSession::start(Kind kind, const RequestHead& head, std::string payload) {
  const uint32_t stream = next_stream_;
  if (stream > kLastStream)
    return std::unexpected(Error(Code::kUnavailable, "stream ids of the connection are used up; reconnect"));
  std::expected<OutFrame, Error> frame =
      encode_request(stream, opening_flags(kind), head, std::move(payload));
  if (!frame) return std::unexpected(frame.error());
  next_stream_ += 2;
  streams_.emplace(stream, Stream{kind, kind == Kind::kBidirectional});
  output_.push(std::move(*frame));
  return stream;
}

std::expected<void, Error> ClientSession::send(uint32_t stream, std::string message) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || !found->second.sending)
    return std::unexpected(Error(Code::kFailedPrecondition, "stream is closed for sending"));
  std::expected<OutFrame, Error> frame = encode_data(stream, 0, std::move(message));
  if (!frame) return std::unexpected(frame.error());
  output_.push(std::move(*frame));
  return {};
}

void ClientSession::close_send(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || !found->second.sending) return;
  found->second.sending = false;
  output_.push(*encode_data(stream, kFlagRemoteClosed | kFlagNoData, {}));
}

void ClientSession::forget(uint32_t stream) {
  if (ended_after_message_ == stream) ended_after_message_.reset();
  if (streams_.erase(stream) > 0) output_.drop_unsent(stream);
}

std::optional<ClientSession::Event> ClientSession::next() {
  if (ended_after_message_) return End{*std::exchange(ended_after_message_, std::nullopt)};
  while (std::optional<Frame> frame = input_.next()) {
    if (std::optional<Event> event = on_frame(std::move(*frame))) return event;
  }
  return std::nullopt;
}

std::optional<ClientSession::Event> ClientSession::on_frame(Frame frame) {
  // Late answers of forgotten calls, and whatever else nobody waits for.
  const auto stream = streams_.find(frame.header.stream);
  if (stream == streams_.end()) return std::nullopt;
  if (frame.oversize()) {
    return end_with(stream,
                    Error(Code::kResourceExhausted, "answer of " + std::to_string(frame.header.length) +
                                                        " bytes exceeds the message limit"));
  }
  switch (frame.header.type) {
    case FrameType::kResponse: {
      Answer answer{stream->first, decode_response(std::move(frame.data))};
      streams_.erase(stream);
      return answer;
    }
    case FrameType::kData:
      return on_data(stream, std::move(frame));
    default:
      return end_with(stream,
                      Error(Code::kInternal, "server sent a frame of type " +
                                                 std::to_string(static_cast<int>(frame.header.type))));
  }
}

std::optional<ClientSession::Event> ClientSession::on_data(Streams::iterator stream, Frame frame) {
  if (stream->second.kind == Kind::kUnary)
    return end_with(stream,
                    Error(Code::kInternal, "server sent stream data for a call that does not stream"));
  const uint32_t id = stream->first;
  const bool closed = (frame.header.flags & kFlagRemoteClosed) != 0;
  if (closed) streams_.erase(stream);
  if ((frame.header.flags & kFlagNoData) != 0) return closed ? std::optional<Event>(End{id}) : std::nullopt;
  if (closed) ended_after_message_ = id;
  return Message{id, std::move(frame.data)};
}

ClientSession::Event ClientSession::end_with(Streams::iterator stream, Error error) {
  Answer answer{stream->first, std::unexpected(std::move(error))};
  streams_.erase(stream);
  return answer;
}

}  // namespace kata::ttrpc
