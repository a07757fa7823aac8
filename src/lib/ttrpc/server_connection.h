// One connection of a ttRPC server: runs the handlers that its session asks for.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/ttrpc/channel.h"
#include "lib/ttrpc/server.h"
#include "lib/ttrpc/server_session.h"

namespace kata::ttrpc {

// The methods of a server: service, then method. Entries are only added, so that running handlers stay valid.
struct MethodTable {
  std::map<std::string, std::map<std::string, Handler, std::less<>>, std::less<>> services;
  [[nodiscard]] ServerSession::MethodKind kind(std::string_view service, std::string_view method) const;
};

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(StreamSocket socket, std::shared_ptr<const MethodTable> methods);
  ~ServerConnection();

  // Lasts until the peer closes or stop(); all handlers have ended then, or have been given up as hanging.
  Awaitable<> run();
  void stop() { channel_->stop_reading(); }

 private:
  struct Running {
    uint32_t stream;
    // Whether the client has an answer already: what the handler says then is dropped.
    bool answered = false;
    asio::cancellation_signal cancel;
    std::unique_ptr<asio::steady_timer> deadline;
  };
  using RunningList = std::list<Running>;

  Awaitable<> read_all();
  Awaitable<> end_handlers();
  void perform(ServerSession::Action action);
  void start(ServerSession::Call call);
  void set_deadline(RunningList::iterator running, std::chrono::nanoseconds timeout,
                    const std::string& method);
  void finished(RunningList::iterator running, const std::exception_ptr& exception, std::string answer);

  std::shared_ptr<const MethodTable> methods_;
  ServerSession session_;
  std::shared_ptr<Channel> channel_;
  RunningList running_;
  // Cancelled when the last handler has ended.
  asio::steady_timer idle_;
};

}  // namespace kata::ttrpc
