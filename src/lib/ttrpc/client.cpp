#include "lib/ttrpc/client.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <unordered_map>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/ttrpc/channel.h"
#include "lib/ttrpc/client_session.h"

namespace kata::ttrpc {
namespace {

using boost::system::error_code;

constexpr Duration kMaxTimeout = std::chrono::years(1);

// What a coroutine waits for: the answer to one stream. Lives in the coroutine's frame.
struct Pending {
  explicit Pending(const asio::any_io_executor& executor) : timer(executor) {}
  // Ends at the time-out; cancelled when `result` is set.
  asio::steady_timer timer;
  std::optional<std::expected<std::string, Error>> result;
};

// The connection; the reading coroutine holds it, so that it ends in order when all handles are gone.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(StreamSocket socket, std::string name)
      : peer(std::move(name)),
        channel(std::make_shared<Channel>(std::move(socket), session.input(), session.output())),
        ended(channel->executor()) {}
  ~Core() { channel->close(); }

  static Awaitable<> read(std::shared_ptr<Core> self);
  void close(const std::string& reason);
  void dispatch(ClientSession::Event event);
  [[nodiscard]] Error closed_error() const {
    return {Code::kUnavailable, "connection to " + peer + " is closed: " + reason_};
  }

  std::string peer;
  ClientSession session;
  std::shared_ptr<Channel> channel;
  std::unordered_map<uint32_t, Pending*> pending;
  Event ended;

 private:
  std::string end_text(const error_code& error);
  std::string reason_;
};

Awaitable<> Core::read(std::shared_ptr<Core> self) {
  try {
    error_code error;
    while (!error) {
      while (std::optional<ClientSession::Event> event = self->session.next())
        self->dispatch(std::move(*event));
      error = co_await self->channel->read();
    }
    self->close(self->end_text(error));
  } catch (const std::exception& error) {
    self->close(error.what());
  }
}

std::string Core::end_text(const error_code& error) {
  if (error != asio::error::eof) return error.message();
  return session.input().inside_frame() ? "the peer closed it in the middle of a message"
                                        : "the peer closed it";
}

void Core::close(const std::string& reason) {
  if (ended.is_set()) return;
  reason_ = reason;
  channel->close();
  for (auto& [stream, waiter] : std::exchange(pending, {})) {
    waiter->result = std::unexpected(closed_error());
    waiter->timer.cancel();
  }
  ended.set();
}

void Core::dispatch(ClientSession::Event event) {
  auto* const answer = std::get_if<ClientSession::Answer>(&event);
  if (answer == nullptr) return;
  const auto found = pending.find(answer->stream);
  if (found == pending.end()) return;
  found->second->result = std::move(answer->result);
  found->second->timer.cancel();
  pending.erase(found);
}

class ClientImpl final : public Client, public std::enable_shared_from_this<ClientImpl> {
 public:
  explicit ClientImpl(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~ClientImpl() override { core_->close("it was closed here"); }

  Awaitable<std::string> call(std::string service, std::string method, std::string payload,
                              CallOptions options) override {
    RequestHead head{std::move(service), std::move(method), options.timeout, std::move(options.metadata)};
    return run(shared_from_this(), std::move(head), std::move(payload));
  }
  Awaitable<> closed() override { return wait_closed(core_); }
  [[nodiscard]] bool is_open() const override { return !core_->ended.is_set(); }
  void close() override { core_->close("it was closed here"); }

 private:
  static Awaitable<std::string> run(std::shared_ptr<ClientImpl> self, RequestHead head, std::string payload);
  // Holds the connection's state, not the client: watching for the end does not keep a connection open.
  static Awaitable<> wait_closed(std::shared_ptr<Core> core) { co_await core->ended.wait(); }

  std::shared_ptr<Core> core_;
};

// Registers a waiter for as long as its coroutine lives, so that a call that ends early, for whatever reason,
// is forgotten.
class Registration {
 public:
  Registration(Core& core, uint32_t stream, Pending& waiter) : core_(core), stream_(stream) {
    core_.pending.emplace(stream_, &waiter);
  }
  ~Registration() {
    if (core_.pending.erase(stream_) > 0) core_.session.forget(stream_);
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  Core& core_;
  uint32_t stream_;
};

Awaitable<std::string> ClientImpl::run(std::shared_ptr<ClientImpl> self, RequestHead head,
                                       std::string payload) {
  Core& core = *self->core_;
  if (core.ended.is_set()) throw core.closed_error();
  const Duration timeout = std::min(head.timeout, kMaxTimeout);
  const auto what = [&] { return head.method + " of " + core.peer; };
  if (timeout.count() < 0) throw_deadline_exceeded(what(), Duration(0));
  const auto stream = core.session.start(ClientSession::Kind::kUnary, head, std::move(payload));
  if (!stream) throw stream.error();
  Pending waiter(core.channel->executor());
  if (timeout.count() > 0) {
    waiter.timer.expires_after(timeout);
  } else {
    waiter.timer.expires_at(asio::steady_timer::time_point::max());
  }
  const Registration registration(core, *stream, waiter);
  core.channel->flush();
  error_code error;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (!waiter.result) {
    if (error) throw boost::system::system_error(error);
    throw_deadline_exceeded(what(), timeout);
  }
  if (!*waiter.result) throw std::move(waiter.result->error());
  co_return std::move(**waiter.result);
}

}  // namespace

std::shared_ptr<Client> Client::create(StreamSocket socket, std::string peer) {
  auto core = std::make_shared<Core>(std::move(socket), std::move(peer));
  asio::co_spawn(core->channel->executor(), Core::read(core), asio::detached);
  return std::make_shared<ClientImpl>(std::move(core));
}

}  // namespace kata::ttrpc
