#include "guest/channels/log_port.h"

#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/accept.h"
#include "lib/log/guest_json.h"

namespace kata::channels {
namespace {

constexpr size_t kMaxClients = 4;
constexpr size_t kClientLimit = size_t{256} << 10;
// What a host that connects late still gets.
constexpr size_t kHistoryLimit = size_t{64} << 10;
constexpr size_t kLineLimit = size_t{16} << 10;

}  // namespace

void LineQueue::push(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (text_.size() + line.size() > limit_) {
    ++lost_;
  } else {
    text_ += line;
  }
}

std::string LineQueue::take() {
  const std::lock_guard lock(mutex_);
  std::string out = std::exchange(text_, {});
  if (lost_ > 0) {
    const std::string count = std::to_string(std::exchange(lost_, 0));
    out +=
        R"({"msg":"log lines lost","level":"WARN","name":"kata-agent","source":"agent","subsystem":"log","lines":")" +
        count + "\"}\n";
  }
  return out;
}

struct LogPort::Client {
  explicit Client(const asio::any_io_executor& executor)
      : queue(kClientLimit), wake(executor, asio::steady_timer::time_point::max()) {}
  LineQueue queue;
  asio::steady_timer wake;
  bool replaced = false;
};

struct LogPort::Shared {
  explicit Shared(asio::any_io_executor e) : executor(std::move(e)) {}

  void write(const std::string& line) {
    const std::lock_guard lock(mutex);
    history.push_back(line);
    history_size += line.size();
    while (history_size > kHistoryLimit) {
      history_size -= history.front().size();
      history.pop_front();
    }
    for (const auto& client : clients) client->queue.push(line);
    if (!clients.empty() && !waking) {
      waking = true;
      asio::post(executor, [this] { wake_all(); });
    }
  }
  // In the agent's thread.
  void wake_all() {
    const std::lock_guard lock(mutex);
    waking = false;
    for (const auto& client : clients) client->wake.cancel();
  }
  std::shared_ptr<Client> add() {
    const std::lock_guard lock(mutex);
    if (clients.size() >= kMaxClients) {
      clients.front()->replaced = true;
      clients.front()->wake.cancel();
      clients.pop_front();
    }
    auto client = std::make_shared<Client>(executor);
    for (const std::string& line : history) client->queue.push(line);
    clients.push_back(client);
    return client;
  }
  void remove(const std::shared_ptr<Client>& client) {
    const std::lock_guard lock(mutex);
    clients.remove(client);
  }

  asio::any_io_executor executor;
  std::mutex mutex;
  std::list<std::shared_ptr<Client>> clients;
  std::deque<std::string> history;
  size_t history_size = 0;
  bool waking = false;
};

namespace {

class PortSink : public log::Sink {
 public:
  PortSink(std::unique_ptr<log::Sink> console, std::shared_ptr<LogPort::Shared> shared)
      : console_(std::move(console)), shared_(std::move(shared)) {}
  void write(const log::Record& record) override {
    if (console_) console_->write(record);
    const std::string line = log::format_guest_json(record);
    if (line.size() <= kLineLimit) shared_->write(line);
  }

 private:
  std::unique_ptr<log::Sink> console_;
  std::shared_ptr<LogPort::Shared> shared_;
};

}  // namespace

LogPort::LogPort(asio::any_io_executor executor)
    : executor_(std::move(executor)), shared_(std::make_shared<Shared>(executor_)) {}

std::unique_ptr<log::Sink> LogPort::sink(std::unique_ptr<log::Sink> console) {
  return std::make_unique<PortSink>(std::move(console), shared_);
}

Awaitable<> LogPort::serve(std::shared_ptr<Shared> shared, std::shared_ptr<Client> client, UniqueFd socket) {
  struct Leave {
    std::shared_ptr<Shared> shared;
    std::shared_ptr<Client> client;
    ~Leave() { shared->remove(client); }
  } const leave{.shared = shared, .client = client};
  asio::posix::stream_descriptor stream(shared->executor, socket.release());
  while (!client->replaced) {
    const std::string lines = client->queue.take();
    if (!lines.empty()) {
      co_await asio::async_write(stream, asio::buffer(lines), asio::use_awaitable);
      continue;
    }
    boost::system::error_code woken;
    co_await client->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
  }
}

Awaitable<> LogPort::run(UniqueFd listener, TaskGroup& tasks) {
  asio::posix::stream_descriptor descriptor(executor_, listener.release());
  for (;;) {
    Connection next = co_await accept_next(descriptor);
    tasks.spawn("log port connection", serve(shared_, shared_->add(), std::move(next.socket)));
  }
}

}  // namespace kata::channels
