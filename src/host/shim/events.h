// Events to containerd: an ordered, bounded queue and the sender behind it (facts: containerd-shim-api,
// section 9).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lib/async/awaitable.h"
#include "lib/ttrpc/client.h"

namespace kata::shim {

struct Event {
  // "/tasks/exit".
  std::string topic;
  // "containerd.events.TaskExit".
  std::string type;
  // The serialised message.
  std::string message;
  std::chrono::system_clock::time_point at = std::chrono::system_clock::now();
};

Event make_event(std::string_view topic, const google::protobuf::MessageLite& message);

class EventOutput {
 public:
  virtual ~EventOutput() = default;
  // Takes an event in order; never blocks, never throws.
  virtual void publish(Event event) = 0;
};

// Sends events one after another to containerd's events service. While containerd is away they wait, at most
// kQueueLimit of them (then the oldest goes, with a warning), and are sent when it is back. One that
// containerd refuses five times is dropped with a warning. Without an address (CRI-O) events are only logged.
class EventPublisher final : public EventOutput {
 public:
  static constexpr size_t kQueueLimit = 2048;

  // `address` is a Unix socket, bare or as unix:// URI.
  EventPublisher(const asio::any_io_executor& executor, std::string address,
                 std::string containerd_namespace);

  void publish(Event event) override;
  // Sends until cancelled.
  Awaitable<> run();
  // Returns when all is sent, or after `limit`.
  Awaitable<> flush(Duration limit);

 private:
  enum class Outcome { kSent, kRefused, kAway };
  Awaitable<Outcome> forward(const Event& event);
  Awaitable<> deliver(const Event& event);
  Awaitable<> connect();

  asio::any_io_executor executor_;
  std::string path_;
  std::string namespace_;
  std::deque<Event> queue_;
  bool sending_ = false;
  asio::steady_timer filled_;
  asio::steady_timer drained_;
  std::shared_ptr<ttrpc::Client> client_;
};

}  // namespace kata::shim
