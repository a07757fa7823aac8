// ttRPC client: concurrent unary calls and streams over one connection (facts: ttrpc-wire, sections 1-6).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message_lite.h>

#include "lib/async/awaitable.h"
#include "lib/error/error.h"
#include "lib/ttrpc/socket.h"
#include "lib/ttrpc/stream.h"

namespace kata::ttrpc {

struct CallOptions {
  // Limit enforced here and sent to the server; zero = none (long polls).
  Duration timeout{0};
  // Keys in lower case.
  std::vector<std::pair<std::string, std::string>> metadata;
};

// One connection. Calls run concurrently, answers come in any order. When the peer closes, breaks the
// protocol or close() is called, all pending and later calls fail with kUnavailable "agent connection
// closed"-like text naming `peer`; there is no reconnect. One thread; kept alive by its pending calls.
class Client {
 public:
  // Takes a connected socket and starts reading from it. `peer` names the other side in messages ("agent of
  // sandbox s1").
  static std::shared_ptr<Client> create(StreamSocket socket, std::string peer);
  virtual ~Client() = default;

  // Sends one request and returns the response's payload. Throws Error with the server's status code and
  // message; kDeadlineExceeded after the time-out; kResourceExhausted (nothing written) when the request
  // exceeds the 4 MiB limit. A cancelled call is forgotten and its late answer dropped.
  virtual Awaitable<std::string> call(std::string service, std::string method, std::string payload,
                                      CallOptions options) = 0;
  // Opens a stream; errors of the server arrive with its first receive(). `request` is the one request of a
  // kServerStream, and the first message or empty for kBidirectional. Dropping the last reference forgets the
  // stream. The time-out is only told to the server. Fakes need not support it (kUnimplemented).
  virtual std::shared_ptr<Stream> open_stream(std::string service, std::string method, StreamKind kind,
                                              std::string request, CallOptions options);
  // Returns when the connection is closed, by whichever side.
  virtual Awaitable<> closed() = 0;
  [[nodiscard]] virtual bool is_open() const = 0;
  virtual void close() = 0;
};

// Parses an answer; kDataLoss if it does not parse.
template <typename Response>
Awaitable<Response> parsed(Awaitable<std::string> answer, std::string method) {
  const std::string bytes = co_await std::move(answer);
  Response response;
  if (!response.ParseFromString(bytes))
    throw Error(Code::kDataLoss, "answer to " + method + " does not parse");
  co_return response;
}

// A typed call. The request is serialised at once, not when the coroutine first runs, so it need not outlive
// this function.
template <typename Response>
Awaitable<Response> call(const std::shared_ptr<Client>& client, std::string service, std::string method,
                         const google::protobuf::MessageLite& request, CallOptions options = {}) {
  return parsed<Response>(
      client->call(std::move(service), std::string(method), request.SerializeAsString(), std::move(options)),
      method);
}

}  // namespace kata::ttrpc
