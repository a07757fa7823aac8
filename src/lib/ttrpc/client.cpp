#include "lib/ttrpc/client.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include "lib/async/deadline.h"
#include "lib/ttrpc/client_connection.h"
#include "lib/ttrpc/stream_inbox.h"

namespace kata::ttrpc {
namespace {

using boost::system::error_code;

constexpr Duration kMaxTimeout = std::chrono::years(1);

// A unary call; lives in its coroutine's frame, so that a call that ends early, for whatever reason, is
// forgotten.
class PendingCall final : public Receiver {
 public:
  PendingCall(ClientConnection& connection, const RequestHead& head, std::string payload)
      : connection_(connection),
        timer_(connection.channel()->executor()),
        stream_(connection.start(ClientSession::Kind::kUnary, head, std::move(payload), *this)) {}
  ~PendingCall() override { connection_.leave(stream_); }
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  // Ends with the result, or with none after `timeout`.
  Awaitable<> wait(Duration timeout) {
    timer_.expires_at(timeout.count() > 0 ? std::chrono::steady_clock::now() + timeout : TimePoint::max());
    error_code error;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!result_ && error) throw boost::system::system_error(error);
  }
  std::optional<std::expected<std::string, Error>>& result() { return result_; }

  void on_answer(std::expected<std::string, Error> result) override {
    result_ = std::move(result);
    timer_.cancel();
  }
  Taken on_message(std::string) override { return Taken::kYes; }
  void on_end() override {}

 private:
  ClientConnection& connection_;
  asio::steady_timer timer_;
  std::optional<std::expected<std::string, Error>> result_;
  uint32_t stream_;
};

class ClientStream final : public Stream, public Receiver, public std::enable_shared_from_this<ClientStream> {
 public:
  // `client` is kept alive with the stream.
  ClientStream(std::shared_ptr<Client> client, std::shared_ptr<ClientConnection> connection)
      : client_(std::move(client)),
        connection_(std::move(connection)),
        inbox_(connection_->channel()->executor()) {}
  ~ClientStream() override {
    if (stream_ != 0) connection_->leave(stream_);
  }
  void open(ClientSession::Kind kind, const RequestHead& head, std::string payload) {
    stream_ = connection_->start(kind, head, std::move(payload), *this);
  }

  Awaitable<std::optional<std::string>> receive() override { return receive_from(shared_from_this()); }
  Awaitable<> send(std::string message) override { return send_on(shared_from_this(), std::move(message)); }
  void close_send() override {
    connection_->session().close_send(stream_);
    connection_->channel()->flush();
  }

  void on_answer(std::expected<std::string, Error> result) override {
    if (!result) {
      inbox_.fail(std::move(result.error()));
    } else {
      // The single result of a stream.
      inbox_.push(std::move(*result));
      inbox_.end();
    }
  }
  Taken on_message(std::string message) override {
    return inbox_.push(std::move(message)) == StreamInbox::Taken::kYes ? Taken::kYes : Taken::kFull;
  }
  void on_end() override { inbox_.end(); }

 private:
  static Awaitable<std::optional<std::string>> receive_from(std::shared_ptr<ClientStream> self) {
    co_return co_await self->inbox_.receive();
  }
  static Awaitable<> send_on(std::shared_ptr<ClientStream> self, std::string message) {
    ClientConnection& connection = *self->connection_;
    if (connection.ended().is_set()) throw connection.closed_error();
    const std::expected<void, Error> sent = connection.session().send(self->stream_, std::move(message));
    if (!sent) throw sent.error();
    connection.channel()->flush();
    if (connection.channel()->congested()) co_await connection.channel()->relieved();
  }

  std::shared_ptr<Client> client_;
  std::shared_ptr<ClientConnection> connection_;
  StreamInbox inbox_;
  uint32_t stream_ = 0;
};

class ClientImpl final : public Client, public std::enable_shared_from_this<ClientImpl> {
 public:
  explicit ClientImpl(std::shared_ptr<ClientConnection> connection) : connection_(std::move(connection)) {}
  ~ClientImpl() override { close(); }

  Awaitable<std::string> call(std::string service, std::string method, std::string payload,
                              CallOptions options) override {
    return run(shared_from_this(), make_head(std::move(service), std::move(method), std::move(options)),
               std::move(payload));
  }
  std::shared_ptr<Stream> open_stream(std::string service, std::string method, StreamKind kind,
                                      std::string request, CallOptions options) override {
    const RequestHead head = make_head(std::move(service), std::move(method), std::move(options));
    auto stream = std::make_shared<ClientStream>(shared_from_this(), connection_);
    stream->open(kind == StreamKind::kBidirectional ? ClientSession::Kind::kBidirectional
                                                    : ClientSession::Kind::kServerStream,
                 head, std::move(request));
    return stream;
  }
  Awaitable<> closed() override { return wait_closed(connection_); }
  [[nodiscard]] bool is_open() const override { return !connection_->ended().is_set(); }
  void close() override { connection_->close("it was closed here"); }

 private:
  static RequestHead make_head(std::string service, std::string method, CallOptions options) {
    return {std::move(service), std::move(method), std::min(options.timeout, kMaxTimeout),
            std::move(options.metadata)};
  }
  static Awaitable<std::string> run(std::shared_ptr<ClientImpl> self, RequestHead head, std::string payload);
  // Holds the connection's state, not the client: watching for the end does not keep a connection open.
  static Awaitable<> wait_closed(std::shared_ptr<ClientConnection> connection) {
    co_await connection->ended().wait();
  }

  std::shared_ptr<ClientConnection> connection_;
};

Awaitable<std::string> ClientImpl::run(std::shared_ptr<ClientImpl> self, RequestHead head,
                                       std::string payload) {
  ClientConnection& connection = *self->connection_;
  const Duration timeout = head.timeout;
  // A deadline that passed before the call.
  const bool late = timeout.count() < 0;
  if (!late) {
    PendingCall call(connection, head, std::move(payload));
    co_await call.wait(timeout);
    if (call.result()) {
      std::expected<std::string, Error> result = std::move(*call.result());
      if (!result) throw std::move(result.error());
      co_return std::move(*result);
    }
  }
  throw_deadline_exceeded(head.method + " of " + connection.peer(), late ? Duration(0) : timeout);
}

}  // namespace

std::shared_ptr<Stream> Client::open_stream(std::string service, std::string method, StreamKind, std::string,
                                            CallOptions) {
  throw Error(Code::kUnimplemented, "this client opens no streams, not even " + service + "/" + method);
}

std::shared_ptr<Client> Client::create(StreamSocket socket, std::string peer) {
  auto connection = std::make_shared<ClientConnection>(std::move(socket), std::move(peer));
  asio::co_spawn(connection->channel()->executor(), ClientConnection::read(connection), asio::detached);
  return std::make_shared<ClientImpl>(std::move(connection));
}

}  // namespace kata::ttrpc
