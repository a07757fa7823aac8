// QMP over a connected socket: the Asio shell around QmpSession.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/local/stream_protocol.hpp>

#include "host/vmm/qemu/qmp_session.h"
#include "lib/async/awaitable.h"
#include "lib/async/event.h"
#include "lib/fd/unique_fd.h"

namespace kata::vmm::qemu {

// Held by shared_ptr: its coroutines keep it alive. Calls have no limit of their own (with_deadline around
// them); when the connection ends they fail with kUnavailable. Commands are answered in the order QEMU likes,
// several may be under way.
class QmpClient : public std::enable_shared_from_this<QmpClient> {
 public:
  using EventHandler = std::function<void(const QmpEvent& event)>;

  // `socket` is a connected Unix stream socket. The handler must not throw.
  QmpClient(const asio::any_io_executor& executor, UniqueFd socket, EventHandler on_event);

  // Reads until QEMU closes the connection or breaks the protocol; must run (spawned) for the rest to work.
  Awaitable<> read_loop();
  // Waits for the greeting and leaves negotiation mode; returns QEMU's version.
  Awaitable<std::string> negotiate();
  // Runs a command and returns the JSON text of its result. `arguments`: JSON text of an object, or empty.
  Awaitable<std::string> execute(std::string name, std::string arguments = {});
  // Gives QEMU a descriptor under a name (getfd); it stays open here too.
  Awaitable<> give_descriptor(std::string name, int fd);
  // Adds a descriptor to a numbered set, /dev/fdset/<set> (add-fd); it stays open here too.
  Awaitable<> add_to_set(uint32_t set, std::string opaque, int fd);
  // Ends the connection; everything under way fails.
  void close();

 private:
  struct Call {
    explicit Call(const asio::any_io_executor& executor) : done(executor) {}
    Event done;
    std::optional<std::expected<std::string, Error>> result;
  };
  struct Outgoing {
    std::string text;
    int fd = -1;
  };

  Awaitable<std::string> call(std::string name, std::string arguments, int fd);
  Awaitable<> write_loop();
  void dispatch(QmpMessage message);
  void fail_all(const Error& error);

  asio::any_io_executor executor_;
  asio::local::stream_protocol::socket socket_;
  EventHandler on_event_;
  QmpSession session_;
  Event greeted_;
  std::string version_;
  std::map<uint64_t, std::shared_ptr<Call>> calls_;
  std::deque<Outgoing> outgoing_;
  bool writing_ = false;
  uint64_t last_id_ = 0;
  std::optional<Error> closed_;
};

}  // namespace kata::vmm::qemu
