// Streams of messages over a ttRPC connection (facts: ttrpc-wire, section 5).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/async/awaitable.h"

namespace kata::ttrpc {

struct RequestInfo;

// One end of a stream. The protocol has no flow control: what the peer sends faster than it is received waits
// here, and a stream with more than 1024 messages or 16 MiB waiting ends with kResourceExhausted. One
// coroutine receives at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  // The next message, in order. Nothing after the last one: the peer has closed its side well. Throws the
  // error that the stream ended with (the server's status, kUnavailable when the connection closed), after
  // the messages that came before it.
  virtual Awaitable<std::optional<std::string>> receive() = 0;
  // Queues a message of at most 4 MiB (kResourceExhausted above) and waits while much is queued on the
  // connection. kFailedPrecondition once this side or the whole stream has ended.
  virtual Awaitable<> send(std::string message) = 0;
  // A client tells that it sends no more. A server ends a stream by returning from its handler.
  virtual void close_send() = 0;
};

// What a client opens: messages both ways, or one request and then messages from the server. A method that
// takes a stream and gives a single result is kBidirectional too: its result is the last message received.
enum class StreamKind { kBidirectional, kServerStream };

// What the server sends: messages, or one result for the whole stream (the first message sent, which ends
// it).
enum class StreamResult { kMessages, kSingle };

// Serves one stream; the stream ends when it returns, with the error that leaves it. The request of a
// kServerStream is the first message received.
using StreamHandler = std::function<Awaitable<>(std::shared_ptr<Stream> stream, RequestInfo info)>;

}  // namespace kata::ttrpc
