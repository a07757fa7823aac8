#include "lib/ttrpc/server.h"

#include <list>
#include <sys/socket.h>

#include <unistd.h>

#include "lib/log/log.h"
#include "lib/ttrpc/server_connection.h"

namespace kata::ttrpc {
namespace {

bool same_user(StreamSocket& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() && peer.gid == ::getegid();
}

class ServerImpl final : public Server, public std::enable_shared_from_this<ServerImpl> {
 public:
  void add(const std::string& service, const std::string& method, Handler handler) override {
    insert(service, method, Method{std::move(handler), {}, {}});
  }
  void add_stream(const std::string& service, const std::string& method, StreamResult result,
                  StreamHandler handler) override {
    insert(service, method, Method{{}, std::move(handler), result});
  }

  Awaitable<> serve(StreamSocket socket, PeerCheck check) override {
    return run(shared_from_this(), std::move(socket), check);
  }

  void stop() override {
    stopped_ = true;
    for (const auto& connection : connections_) connection->stop();
  }

  [[nodiscard]] size_t connections() const override { return connections_.size(); }

 private:
  void insert(const std::string& service, const std::string& method, Method entry) {
    if (!methods_->services[service].try_emplace(method, std::move(entry)).second)
      throw Error(Code::kAlreadyExists, "method " + service + "/" + method + " is served already");
  }
  static Awaitable<> run(std::shared_ptr<ServerImpl> self, StreamSocket socket, PeerCheck check);

  std::shared_ptr<MethodTable> methods_ = std::make_shared<MethodTable>();
  std::list<std::shared_ptr<ServerConnection>> connections_;
  bool stopped_ = false;
};

Awaitable<> ServerImpl::run(std::shared_ptr<ServerImpl> self, StreamSocket socket, PeerCheck check) {
  if (self->stopped_) co_return;
  if (check == PeerCheck::kSameUser && !same_user(socket)) {
    log::warning("ttRPC connection of another user refused");
    co_return;
  }
  const auto entry = self->connections_.insert(
      self->connections_.end(), std::make_shared<ServerConnection>(std::move(socket), self->methods_));
  // Also when the coroutine is destroyed without having ended.
  struct Leave {
    ServerImpl& server;
    std::list<std::shared_ptr<ServerConnection>>::iterator entry;
    ~Leave() { server.connections_.erase(entry); }
  };
  const Leave leave{*self, entry};
  co_await (*entry)->run();
}

}  // namespace

std::shared_ptr<Server> Server::create() {
  return std::make_shared<ServerImpl>();
}

}  // namespace kata::ttrpc
