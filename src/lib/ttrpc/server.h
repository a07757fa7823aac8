// ttRPC server: a table of unary (and streaming) methods, served on any number of connections (facts:
// ttrpc-wire, sections 1-6).
#pragma once

#include <functional>
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

// What came with a request besides its payload.
struct RequestInfo {
  // Limit that the client gave, zero = none. The server enforces it: the handler is cancelled and the client
  // gets kDeadlineExceeded.
  Duration timeout{0};
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Handlers run concurrently, each as a coroutine of the server's thread; a handler may take as long as it
// likes without holding up others. An Error that leaves it becomes the status of the answer (code, message);
// any other exception is INTERNAL.
using Handler = std::function<Awaitable<std::string>(std::string payload, RequestInfo info)>;

class Server {
 public:
  enum class PeerCheck { kNone, kSameUser };

  static std::shared_ptr<Server> create();
  virtual ~Server() = default;

  virtual void add(const std::string& service, const std::string& method, Handler handler) = 0;
  virtual void add_stream(const std::string& service, const std::string& method, StreamResult result,
                          StreamHandler handler) = 0;
  // Serves one connection until it closes (its running handlers are cancelled then) or stop() is called.
  // Garbage from the peer is answered or ends this connection only, never throws. With kSameUser a Unix peer
  // of another uid or gid is closed at once (SO_PEERCRED).
  virtual Awaitable<> serve(StreamSocket socket, PeerCheck check) = 0;
  // Closes all connections; serve() calls return soon after. Handlers are cancelled; the answer of one that
  // returns nevertheless (the one that called stop(), say) is still sent, like those that were complete.
  virtual void stop() = 0;
  [[nodiscard]] virtual size_t connections() const = 0;
};

// Registers a typed handler: a request that does not parse is answered kInvalidArgument naming the method.
template <typename Request, typename Response>
void add(Server& server, const std::string& service, const std::string& method,
         std::function<Awaitable<Response>(Request)> handler) {
  server.add(
      service, method,
      [handler = std::move(handler), method](std::string payload, RequestInfo) -> Awaitable<std::string> {
        Request request;
        if (!request.ParseFromString(payload))
          throw Error(Code::kInvalidArgument, "request of " + method + " does not parse");
        payload.clear();
        payload.shrink_to_fit();
        const Response response = co_await handler(std::move(request));
        co_return response.SerializeAsString();
      });
}

}  // namespace kata::ttrpc
