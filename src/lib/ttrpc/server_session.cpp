#include "lib/ttrpc/server_session.h"

#include <utility>

namespace kata::ttrpc {

ServerSession::ServerSession(Lookup lookup) : lookup_(std::move(lookup)) {}

std::optional<ServerSession::Action> ServerSession::next() {
  // The stream may have been answered since its frame was split into actions.
  if (next_message_ && !streams_.contains(next_message_->stream)) next_message_.reset();
  if (next_close_ && !streams_.contains(next_close_->stream)) next_close_.reset();
  if (next_message_) return std::exchange(next_message_, std::nullopt);
  if (next_close_) return std::exchange(next_close_, std::nullopt);
  while (std::optional<Frame> frame = input_.next()) {
    if (std::optional<Action> action = on_frame(std::move(*frame))) return action;
  }
  return std::nullopt;
}

std::optional<ServerSession::Action> ServerSession::on_frame(Frame frame) {
  const uint32_t stream = frame.header.stream;
  if (frame.oversize()) {
    std::string text = "message of " + std::to_string(frame.header.length) + " bytes exceeds the limit of " +
                       std::to_string(kMaxDataLength) + " bytes";
    const auto found = streams_.find(stream);
    const bool breaks_stream = found != streams_.end() && found->second != State::kUnary;
    if (!breaks_stream) return reject(stream, Code::kResourceExhausted, std::move(text));
    fail(stream, Error(Code::kResourceExhausted, std::move(text)));
    return Abort{stream};
  }
  const bool known_type = frame.header.type == FrameType::kRequest || frame.header.type == FrameType::kData;
  if (!known_type) return std::nullopt;
  if (stream % 2 == 0) return reject(stream, Code::kInvalidArgument, "stream id of a client must be odd");
  return frame.header.type == FrameType::kRequest ? on_request(std::move(frame)) : on_data(std::move(frame));
}

std::optional<ServerSession::Action> ServerSession::on_request(Frame frame) {
  const uint32_t stream = frame.header.stream;
  if (streams_.contains(stream))
    return reject(stream, Code::kInvalidArgument, "stream id is in use by an unfinished call");
  std::expected<Request, Error> request = decode_request(std::move(frame.data));
  if (!request) return reject(stream, request.error().code(), request.error().message());
  const RequestHead& head = request->head;
  switch (lookup_(head.service, head.method)) {
    case MethodKind::kUnknownService:
      return reject(stream, Code::kUnimplemented, "service " + head.service + " is not served here");
    case MethodKind::kUnknownMethod:
      return reject(stream, Code::kUnimplemented,
                    "method " + head.service + "/" + head.method + " is unknown");
    case MethodKind::kUnary:
      break;
    case MethodKind::kStream:
      return open_stream(stream, frame.header.flags, std::move(*request));
  }
  if (streams_.size() >= kMaxActive)
    return reject(stream, Code::kResourceExhausted, "too many unfinished calls on the connection");
  streams_.emplace(stream, State::kUnary);
  return Call{stream, std::move(*request)};
}

std::optional<ServerSession::Action> ServerSession::open_stream(uint32_t stream, uint8_t flags,
                                                                Request request) {
  if (streams_.size() >= kMaxActive)
    return reject(stream, Code::kResourceExhausted, "too many unfinished calls on the connection");
  const bool remote_open = (flags & kFlagRemoteOpen) != 0;
  const bool has_message = !request.payload.empty() || (!remote_open && (flags & kFlagNoData) == 0);
  if (has_message) next_message_ = Message{stream, std::exchange(request.payload, {})};
  if (!remote_open) next_close_ = RemoteClosed{stream};
  streams_.emplace(stream, remote_open ? State::kStreamOpen : State::kStreamRemoteClosed);
  return Open{stream, std::move(request)};
}

std::optional<ServerSession::Action> ServerSession::on_data(Frame frame) {
  const uint32_t stream = frame.header.stream;
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second != State::kStreamOpen)
    return reject(stream, Code::kInvalidArgument, "data for a stream that is not open");
  const bool closed = (frame.header.flags & kFlagRemoteClosed) != 0;
  if (closed) found->second = State::kStreamRemoteClosed;
  if ((frame.header.flags & kFlagNoData) != 0)
    return closed ? std::optional<Action>(RemoteClosed{stream}) : std::nullopt;
  if (closed) next_close_ = RemoteClosed{stream};
  return Message{stream, std::move(frame.data)};
}

// Answers without touching a call that may run under the same id.
std::optional<ServerSession::Action> ServerSession::reject(uint32_t stream, Code code, std::string message) {
  output_.push(encode_status(stream, Error(code, std::move(message))));
  return std::nullopt;
}

bool ServerSession::respond(uint32_t stream, std::string payload) {
  if (streams_.erase(stream) == 0) return false;
  output_.push(encode_response(stream, std::move(payload)));
  return true;
}

bool ServerSession::fail(uint32_t stream, const Error& error) {
  if (streams_.erase(stream) == 0) return false;
  output_.push(encode_status(stream, error));
  return true;
}

bool ServerSession::end(uint32_t stream) {
  if (streams_.erase(stream) == 0) return false;
  output_.push(*encode_data(stream, kFlagRemoteClosed | kFlagNoData, {}));
  return true;
}

bool ServerSession::send(uint32_t stream, std::string message) {
  if (!streams_.contains(stream)) return false;
  std::expected<OutFrame, Error> frame = encode_data(stream, 0, std::move(message));
  if (!frame) {
    fail(stream, frame.error());
    return false;
  }
  output_.push(std::move(*frame));
  return true;
}

}  // namespace kata::ttrpc
