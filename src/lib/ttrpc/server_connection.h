// One connection of a ttRPC server: runs the handlers that its session asks for.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/ttrpc/channel.h"
#include "lib/ttrpc/server.h"
#include "lib/ttrpc/server_session.h"

namespace kata::ttrpc {

struct Method {
  // One of the two is set.
  Handler unary;
  StreamHandler stream;
  StreamResult result = StreamResult::kMessages;
};

// The methods of a server: service, then method. Entries are only added, so that running handlers stay valid.
struct MethodTable {
  std::map<std::string, std::map<std::string, Method, std::less<>>, std::less<>> services;
  [[nodiscard]] const Method* find(std::string_view service, std::string_view method) const;
  [[nodiscard]] ServerSession::MethodKind kind(std::string_view service, std::string_view method) const;
};

class ServerStream;

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(StreamSocket socket, std::shared_ptr<const MethodTable> methods);
  ~ServerConnection();

  // Lasts until the peer closes or stop(); all handlers have ended then, or have been given up as hanging.
  Awaitable<> run();
  void stop() { channel_->stop_reading(); }

 private:
  friend class ServerStream;
  struct Running {
    uint32_t stream;
    // Whether the client has an answer already: what the handler says then is dropped.
    bool answered = false;
    asio::cancellation_signal cancel;
    std::unique_ptr<asio::steady_timer> deadline;
    // Null for a unary call.
    std::shared_ptr<ServerStream> messages;
  };
  using RunningList = std::list<Running>;

  Awaitable<> read_all();
  Awaitable<> end_handlers();
  void perform(ServerSession::Action action);
  RunningList::iterator add_running(uint32_t stream, const RequestHead& head);
  void start(ServerSession::Call call);
  void start(ServerSession::Open open);
  void deliver(ServerSession::Message message);
  void remote_closed(uint32_t stream);
  // Answers with an error at once, whatever the handler does about its cancellation.
  void abort(RunningList::iterator running, Error error);
  // The single result of a stream, sent before its handler ends.
  void answer_stream(uint32_t stream, std::string result);
  void finished(RunningList::iterator running, const std::exception_ptr& exception, std::string answer);

  std::shared_ptr<const MethodTable> methods_;
  ServerSession session_;
  std::shared_ptr<Channel> channel_;
  RunningList running_;
  // Streams whose handlers run and have not been answered for.
  std::unordered_map<uint32_t, RunningList::iterator> streams_;
  // Cancelled when the last handler has ended.
  asio::steady_timer idle_;
};

}  // namespace kata::ttrpc
