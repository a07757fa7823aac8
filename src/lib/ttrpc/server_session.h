// The server's side of a ttRPC connection as a state machine without I/O: bytes go into input(), next() tells
// what to do, output() holds what is to be written (facts: ttrpc-wire, sections 3-7). Whatever a peer may
// send is answered or ignored here; nothing that it sends ends the session.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "lib/error/error.h"
#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/envelope.h"

namespace kata::ttrpc {

class ServerSession {
 public:
  enum class MethodKind { kUnknownService, kUnknownMethod, kUnary, kStream };
  using Lookup = std::function<MethodKind(std::string_view service, std::string_view method)>;

  // Run a unary method; answer with respond() or fail().
  struct Call {
    uint32_t stream;
    Request request;
  };
  // Run a streaming method: `request.payload` is empty, its messages follow as Message; finish with end(),
  // respond() or fail().
  struct Open {
    uint32_t stream;
    Request request;
  };
  struct Message {
    uint32_t stream;
    std::string data;
  };
  // The client sends no more messages; the stream goes on.
  struct RemoteClosed {
    uint32_t stream;
  };
  // A message of the stream was lost and its client has been told: cancel its handler.
  struct Abort {
    uint32_t stream;
  };
  using Action = std::variant<Call, Open, Message, RemoteClosed, Abort>;

  // A connection with more unfinished calls than this gets kResourceExhausted for the next one.
  static constexpr size_t kMaxActive = 16384;

  explicit ServerSession(Lookup lookup);

  std::optional<Action> next();
  // Each of these ends the stream; false when it has ended already, and nothing is queued then.
  bool respond(uint32_t stream, std::string payload);
  bool fail(uint32_t stream, const Error& error);
  bool end(uint32_t stream);
  // Queues a message on an open stream; false when it has ended. A message over 4 MiB fails the stream.
  bool send(uint32_t stream, std::string message);

  FrameReader& input() { return input_; }
  OutQueue& output() { return output_; }
  [[nodiscard]] size_t active() const { return streams_.size(); }

 private:
  enum class State { kUnary, kStreamOpen, kStreamRemoteClosed };
  using Streams = std::unordered_map<uint32_t, State>;

  std::optional<Action> on_frame(Frame frame);
  std::optional<Action> on_request(Frame frame);
  std::optional<Action> open_stream(uint32_t stream, uint8_t flags, Request request);
  std::optional<Action> on_data(Frame frame);
  std::optional<Action> reject(uint32_t stream, Code code, std::string message);

  Lookup lookup_;
  FrameReader input_;
  OutQueue output_;
  Streams streams_;
  // What follows from the last frame after its first action: a message, then the end of the client's side.
  std::optional<Message> next_message_;
  std::optional<RemoteClosed> next_close_;
};

}  // namespace kata::ttrpc
