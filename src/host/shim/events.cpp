#include "host/shim/events.h"

#include <algorithm>
#include <utility>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>

#include "host/shim/address.h"
#include "host/shim/convert.h"
#include "lib/async/deadline.h"
#include "lib/log/log.h"

#include "containerd/events_service.pb.h"

namespace kata::shim {
namespace {

constexpr Duration kCallLimit = std::chrono::seconds(5);
constexpr int kMaxTries = 5;
constexpr Duration kFirstPause = std::chrono::milliseconds(100);
constexpr Duration kLongestPause = std::chrono::seconds(2);

std::string serialise(const Event& event, const std::string& containerd_namespace) {
  containerd::services::events::ttrpc::v1::ForwardRequest request;
  containerd::types::Envelope& envelope = *request.mutable_envelope();
  set_timestamp(*envelope.mutable_timestamp(), event.at);
  envelope.set_namespace_(containerd_namespace);
  envelope.set_topic(event.topic);
  envelope.mutable_event()->set_type_url(event.type);
  envelope.mutable_event()->set_value(event.message);
  return request.SerializeAsString();
}

Awaitable<> wait_for(asio::steady_timer& timer, TimePoint until) {
  timer.expires_at(until);
  boost::system::error_code woken;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

// Awaits and tells how it ended; cancellation of the coroutine itself is thrown on.
template <typename T>
Awaitable<std::exception_ptr> outcome_of(Awaitable<T> operation) {
  std::exception_ptr failed;
  try {
    co_await std::move(operation);
  } catch (...) {
    failed = std::current_exception();
  }
  const auto state = co_await asio::this_coro::cancellation_state;
  if (failed && state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(failed);
  co_return failed;
}

}  // namespace

Event make_event(std::string_view topic, const google::protobuf::MessageLite& message) {
  Event event;
  event.topic = topic;
  event.type = message.GetTypeName();
  event.message = message.SerializeAsString();
  return event;
}

EventPublisher::EventPublisher(const asio::any_io_executor& executor, std::string address,
                               std::string containerd_namespace)
    : executor_(executor),
      path_(path_of_address(address)),
      namespace_(std::move(containerd_namespace)),
      filled_(executor),
      drained_(executor) {
  if (!address.empty() && path_.empty())
    log::warning("events cannot be sent: containerd's address is not a Unix socket", {{"address", address}});
}

void EventPublisher::publish(Event event) {
  log::debug("event", {{"topic", event.topic}});
  if (path_.empty()) return;
  if (queue_.size() >= kQueueLimit) {
    log::warning("containerd does not take events: the oldest one is dropped",
                 {{"topic", queue_.front().topic}, {"queued", std::to_string(queue_.size())}});
    queue_.pop_front();
  }
  queue_.push_back(std::move(event));
  filled_.cancel();
}

Awaitable<> EventPublisher::run() {
  for (;;) {
    while (queue_.empty()) {
      drained_.cancel();
      co_await wait_for(filled_, TimePoint::max());
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) co_return;
    }
    const Event event = std::move(queue_.front());
    queue_.pop_front();
    sending_ = true;
    co_await deliver(event);
    sending_ = false;
  }
}

Awaitable<> EventPublisher::flush(Duration limit) {
  const TimePoint until = std::chrono::steady_clock::now() + limit;
  while ((sending_ || !queue_.empty()) && std::chrono::steady_clock::now() < until)
    co_await wait_for(drained_, until);
  if (sending_ || !queue_.empty()) {
    log::warning("events are lost: containerd did not take them in time",
                 {{"events", std::to_string(queue_.size() + (sending_ ? 1 : 0))}});
  }
}

Awaitable<> EventPublisher::deliver(const Event& event) {
  Duration pause = kFirstPause;
  for (int tries = 0; tries < kMaxTries;) {
    const Outcome outcome = co_await forward(event);
    if (outcome == Outcome::kSent) co_return;
    if (outcome == Outcome::kRefused) ++tries;
    co_await pause_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
  log::warning("containerd refuses an event: it is dropped", {{"topic", event.topic}});
}

Awaitable<EventPublisher::Outcome> EventPublisher::forward(const Event& event) {
  if (!client_ || !client_->is_open()) {
    client_.reset();
    const std::exception_ptr failed =
        co_await outcome_of(with_deadline(connect(), kCallLimit, "connecting to containerd"));
    if (failed) {
      log::debug("containerd's event socket does not answer", {{"error", to_error(failed).message()}});
      co_return Outcome::kAway;
    }
  }
  ttrpc::CallOptions options;
  options.timeout = kCallLimit;
  std::string request = serialise(event, namespace_);
  const std::shared_ptr<ttrpc::Client> client = client_;
  const std::exception_ptr failed = co_await outcome_of(client->call(
      "containerd.services.events.ttrpc.v1.Events", "Forward", std::move(request), std::move(options)));
  if (!failed) co_return Outcome::kSent;
  log::debug("sending an event failed", {{"topic", event.topic}, {"error", to_error(failed).message()}});
  co_return client->is_open() ? Outcome::kRefused : Outcome::kAway;
}

Awaitable<> EventPublisher::connect() {
  asio::local::stream_protocol::socket socket(executor_);
  const asio::local::stream_protocol::endpoint endpoint(path_);
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  client_ = ttrpc::Client::create(StreamSocket(std::move(socket)), "containerd's event service");
}

}  // namespace kata::shim
