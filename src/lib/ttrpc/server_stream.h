// The server's end of a stream, as its handler sees it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/ttrpc/server_connection.h"
#include "lib/ttrpc/stream.h"
#include "lib/ttrpc/stream_inbox.h"

namespace kata::ttrpc {

// May be kept beyond its handler, and is of no use then.
class ServerStream final : public Stream, public std::enable_shared_from_this<ServerStream> {
 public:
  ServerStream(std::weak_ptr<ServerConnection> connection, const asio::any_io_executor& executor,
               uint32_t stream, StreamResult result);

  Awaitable<std::optional<std::string>> receive() override;
  Awaitable<> send(std::string message) override;
  void close_send() override {}

  [[nodiscard]] StreamResult result() const { return result_; }
  StreamInbox& inbox() { return inbox_; }
  // The stream has been answered for: sending fails from now on.
  void finish() { finished_ = true; }

 private:
  static Awaitable<std::optional<std::string>> receive_from(std::shared_ptr<ServerStream> self);
  static Awaitable<> send_on(std::shared_ptr<ServerStream> self, std::string message);

  std::weak_ptr<ServerConnection> connection_;
  StreamInbox inbox_;
  uint32_t stream_;
  StreamResult result_;
  bool finished_ = false;
};

}  // namespace kata::ttrpc
