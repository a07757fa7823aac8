// The connection behind a ttRPC client: hands what its session says to whoever waits for it.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <unordered_map>

#include <boost/system/error_code.hpp>

#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/error/error.h"
#include "lib/ttrpc/channel.h"
#include "lib/ttrpc/client_session.h"

namespace kata::ttrpc {

// Waits for what arrives on one stream.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // The last thing it gets, with the result or the error.
  virtual void on_answer(std::expected<std::string, Error> result) = 0;
  enum class Taken { kYes, kFull };
  virtual Taken on_message(std::string message) = 0;
  virtual void on_end() = 0;
};

// Held by its reading coroutine, so that it ends in order when all handles of the client are gone.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(StreamSocket socket, std::string peer);
  ~ClientConnection();

  static Awaitable<> read(std::shared_ptr<ClientConnection> self);
  // Throws when the connection is closed or the session refuses. The receiver is called from the reading
  // coroutine only, until its last thing or leave().
  uint32_t start(ClientSession::Kind kind, const RequestHead& head, std::string payload, Receiver& receiver);
  // Forgets the stream if it has not ended.
  void leave(uint32_t stream);
  void close(const std::string& reason);
  [[nodiscard]] Error closed_error() const;

  [[nodiscard]] const std::string& peer() const { return peer_; }
  ClientSession& session() { return session_; }
  const std::shared_ptr<Channel>& channel() { return channel_; }
  Event& ended() { return ended_; }

 private:
  void dispatch(ClientSession::Event event);
  void on_message(ClientSession::Message message);
  Receiver* take(uint32_t stream);
  std::string end_text(const boost::system::error_code& error);

  std::string peer_;
  ClientSession session_;
  std::shared_ptr<Channel> channel_;
  std::unordered_map<uint32_t, Receiver*> receivers_;
  Event ended_;
  std::string reason_;
};

}  // namespace kata::ttrpc
