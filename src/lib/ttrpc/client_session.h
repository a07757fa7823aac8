// The client's side of a ttRPC connection as a state machine without I/O: bytes go into input(), next() tells
// what they mean, output() holds what is to be written (facts: ttrpc-wire, sections 3-7).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "lib/error/error.h"
#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/envelope.h"

namespace kata::ttrpc {

class ClientSession {
 public:
  // A call or stream ended: its single result, or its error.
  struct Answer {
    uint32_t stream;
    std::expected<std::string, Error> result;
  };
  // A message of a stream.
  struct Message {
    uint32_t stream;
    std::string data;
  };
  // A stream ended well after its last message.
  struct End {
    uint32_t stream;
  };
  using Event = std::variant<Answer, Message, End>;

  enum class Kind { kUnary, kBidirectional, kServerStream };

  // Queues the opening Request and returns its stream id. `payload` is the request message; for
  // kBidirectional it is the first message or empty. kResourceExhausted when it is too large (nothing is
  // queued), kUnavailable when the ids of this connection are used up.
  std::expected<uint32_t, Error> start(Kind kind, const RequestHead& head, std::string payload);
  // Queues a message on a kBidirectional stream; kFailedPrecondition once that stream is closed for sending.
  std::expected<void, Error> send(uint32_t stream, std::string message);
  void close_send(uint32_t stream);
  // Drops a stream: nothing is sent about it (the protocol has no such frame), late answers are ignored, a
  // Request that is still unsent is taken back.
  void forget(uint32_t stream);

  std::optional<Event> next();
  FrameReader& input() { return input_; }
  OutQueue& output() { return output_; }
  [[nodiscard]] size_t active() const { return streams_.size(); }
  // Starts ids here instead of at 1: for tests of the end of the number range.
  void start_ids_at(uint32_t stream) { next_stream_ = stream; }

 private:
  struct Stream {
    Kind kind = Kind::kUnary;
    bool sending = false;
  };
  using Streams = std::unordered_map<uint32_t, Stream>;

  std::optional<Event> on_frame(Frame frame);
  std::optional<Event> on_data(Streams::iterator stream, Frame frame);
  Event end_with(Streams::iterator stream, Error error);

  FrameReader input_;
  OutQueue output_;
  Streams streams_;
  std::optional<uint32_t> ended_after_message_;
  uint32_t next_stream_ = 1;
};

}  // namespace kata::ttrpc
