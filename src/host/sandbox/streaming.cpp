#include "host/sandbox/streaming.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <google/protobuf/any.pb.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include "lib/error/error.h"
#include "lib/log/log.h"

#include "containerd/streaming.pb.h"
#include "containerd/transfer.pb.h"

namespace kata::sandbox {
namespace {

namespace transfer = containerd::types::transfer;
using Any = google::protobuf::Any;

// What containerd uses itself.
constexpr size_t kWindow = 64 * 1024;
constexpr size_t kChunk = 32 * 1024;
constexpr size_t kMaxStreams = 4096;
constexpr std::string_view kScheme = "ttrpc+unix://";

std::string packed(const char* type, std::string value) {
  Any any;
  any.set_type_url(type);
  any.set_value(std::move(value));
  return any.SerializeAsString();
}

// The name behind the last slash: some write a host in front.
std::string_view type_of(const Any& any) {
  const std::string_view url = any.type_url();
  return url.substr(url.rfind('/') + 1);
}

Any parse(const std::string& message) {
  Any any;
  if (!any.ParseFromString(message))
    throw Error(Code::kInvalidArgument, "a message of a stream does not parse");
  return any;
}

template <typename Message>
Message unpacked(const Any& any) {
  Message message;
  if (!message.ParseFromString(any.value()))
    throw Error(Code::kInvalidArgument,
                "a message of type " + std::string(type_of(any)) + " of a stream does not parse");
  return message;
}

}  // namespace

std::optional<std::string> streaming_id(const std::string& uri) {
  if (!uri.starts_with(kScheme)) return std::nullopt;
  constexpr std::string_view kKey = "streaming_id=";
  const size_t question = uri.find('?');
  std::string_view query =
      question == std::string::npos ? std::string_view() : std::string_view(uri).substr(question + 1);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    if (pair.starts_with(kKey) && pair.size() > kKey.size()) return std::string(pair.substr(kKey.size()));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
  }
  throw Error(Code::kInvalidArgument, "stdio " + uri + ": streaming_id is missing");
}

// One name. Lives as long as its process's end or its peer.
struct StreamTable::Channel {
  explicit Channel(const asio::any_io_executor& executor) : changed(executor, TimePoint::max()) {}

  std::shared_ptr<ttrpc::Stream> peer;
  // Bytes that the peer takes now, and those that it may send.
  size_t window = 0;
  size_t granted = 0;
  // Input that the process has not taken.
  std::string received;
  bool ended = false;
  // A process has it; it has gone.
  bool claimed = false;
  bool closed = false;
  asio::steady_timer changed;

  void wake() { changed.cancel(); }
  // Returns after the next wake(); throws when cancelled.
  Awaitable<> change() {
    boost::system::error_code ignored;
    co_await changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
  void lost(const std::shared_ptr<ttrpc::Stream>& stream) {
    if (peer != stream) return;
    peer.reset();
    window = granted = 0;
    wake();
  }

  void take(const Any& any) {
    if (type_of(any) == "containerd.types.transfer.WindowUpdate") {
      const int32_t update = unpacked<transfer::WindowUpdate>(any).update();
      if (update < 0) throw Error(Code::kInvalidArgument, "the window of a stream cannot shrink");
      window = std::min(window + static_cast<size_t>(update), size_t{INT32_MAX});
    } else if (type_of(any) == "containerd.types.transfer.Data") {
      const auto data = unpacked<transfer::Data>(any);
      if (data.data().size() > granted)
        throw Error(Code::kResourceExhausted, "a stream was sent more data than its window allows");
      granted -= data.data().size();
      received += data.data();
    } else {
      log::debug("message of an unknown type on a stream", {{"type", std::string(type_of(any))}});
      return;
    }
    wake();
  }
};

namespace {

template <typename Channel>
Awaitable<> receive_all(std::shared_ptr<Channel> channel, std::shared_ptr<ttrpc::Stream> stream) {
  while (const std::optional<std::string> message = co_await stream->receive()) {
    if (channel->peer != stream) co_return;
    channel->take(parse(*message));
  }
  if (channel->peer == stream) channel->ended = true;
}

template <typename Channel>
Awaitable<> until_gone(std::shared_ptr<Channel> channel, std::shared_ptr<ttrpc::Stream> stream) {
  while (!channel->closed && channel->peer == stream) co_await channel->change();
}

}  // namespace

class StreamTable::Sink : public OutputSink {
 public:
  Sink(std::shared_ptr<Channels> channels, std::string id, std::shared_ptr<Channel> channel)
      : channels_(std::move(channels)), id_(std::move(id)), channel_(std::move(channel)) {}
  ~Sink() override { release(channels_, id_, channel_); }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  Awaitable<size_t> write_some(std::string_view data) override {
    for (;;) {
      while (!channel_->peer || channel_->window == 0) co_await channel_->change();
      const auto peer = channel_->peer;
      const size_t size = std::min({data.size(), channel_->window, kChunk});
      channel_->window -= size;
      transfer::Data message;
      message.mutable_data()->assign(data.data(), size);
      std::string bytes = packed("containerd.types.transfer.Data", message.SerializeAsString());
      try {
        co_await peer->send(std::move(bytes));
        co_return size;
      } catch (const Error&) {
        // The connection is gone; the next one gets the bytes.
        channel_->lost(peer);
      }
    }
  }

 private:
  std::shared_ptr<Channels> channels_;
  std::string id_;
  std::shared_ptr<Channel> channel_;
};

class StreamTable::Source : public InputSource {
 public:
  Source(std::shared_ptr<Channels> channels, std::string id, std::shared_ptr<Channel> channel)
      : channels_(std::move(channels)), id_(std::move(id)), channel_(std::move(channel)) {}
  ~Source() override { release(channels_, id_, channel_); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  Awaitable<std::string> read(size_t limit) override {
    for (;;) {
      co_await grant();
      std::string& received = channel_->received;
      if (!received.empty()) {
        // No suspension from here: what was taken is returned.
        std::string data = received.substr(0, limit);
        received.erase(0, data.size());
        if (received.empty()) received.shrink_to_fit();
        co_return data;
      }
      if (channel_->ended) co_return std::string();
      if (!wants_grant()) co_await channel_->change();
    }
  }
  [[nodiscard]] bool drained() const override { return channel_->received.empty(); }

 private:
  [[nodiscard]] size_t missing() const { return kWindow - channel_->received.size() - channel_->granted; }
  [[nodiscard]] bool wants_grant() const {
    return channel_->peer && !channel_->ended && missing() >= kWindow / 2;
  }
  Awaitable<> grant() {
    if (!wants_grant()) co_return;
    const auto peer = channel_->peer;
    transfer::WindowUpdate message;
    message.set_update(static_cast<int32_t>(missing()));
    channel_->granted += missing();
    std::string bytes = packed("containerd.types.transfer.WindowUpdate", message.SerializeAsString());
    try {
      co_await peer->send(std::move(bytes));
    } catch (const Error&) {
      channel_->lost(peer);
    }
  }

  std::shared_ptr<Channels> channels_;
  std::string id_;
  std::shared_ptr<Channel> channel_;
};

StreamTable::StreamTable() : channels_(std::make_shared<Channels>()) {}
StreamTable::~StreamTable() = default;

Awaitable<> StreamTable::serve(std::shared_ptr<ttrpc::Stream> stream) {
  const auto executor = co_await asio::this_coro::executor;
  const auto channels = channels_;
  const std::optional<std::string> first = co_await stream->receive();
  if (!first) co_return;
  const Any init = parse(*first);
  if (type_of(init) != "containerd.services.streaming.v1.StreamInit")
    throw Error(Code::kInvalidArgument, "a stream must begin with StreamInit");
  const std::string id = unpacked<containerd::services::streaming::v1::StreamInit>(init).id();
  if (id.empty()) throw Error(Code::kInvalidArgument, "a stream must have a name");
  std::string acknowledgement = packed("google.protobuf.Empty", "");
  co_await stream->send(std::move(acknowledgement));

  auto& slot = (*channels)[id];
  if (!slot) slot = std::make_shared<Channel>(executor);
  if (channels->size() > kMaxStreams) {
    channels->erase(id);
    throw Error(Code::kResourceExhausted, "too many streams are open: " + id + " is refused");
  }
  const std::shared_ptr<Channel> channel = slot;
  channel->lost(channel->peer);
  channel->peer = stream;
  channel->wake();
  struct Guard {
    std::shared_ptr<Channels> channels;
    std::string id;
    std::shared_ptr<Channel> channel;
    std::shared_ptr<ttrpc::Stream> stream;
    ~Guard() {
      channel->lost(stream);
      // Nobody has asked for it yet, and nobody is there any more.
      if (!channel->claimed && !channel->peer) release(channels, id, channel);
    }
  } const guard{channels, id, channel, stream};
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, receive_all(channel, stream), asio::deferred),
      asio::co_spawn(executor, until_gone(channel, stream), asio::deferred));
  auto [order, receive_error, gone_error] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 0 && receive_error) std::rethrow_exception(receive_error);
}

std::shared_ptr<StreamTable::Channel> StreamTable::claim(const asio::any_io_executor& executor,
                                                         const std::string& id) {
  auto& slot = (*channels_)[id];
  if (!slot) slot = std::make_shared<Channel>(executor);
  if (slot->claimed) throw Error(Code::kAlreadyExists, "stream " + id + " belongs to another process");
  slot->claimed = true;
  return slot;
}

void StreamTable::release(const std::shared_ptr<Channels>& channels, const std::string& id,
                          const std::shared_ptr<Channel>& channel) {
  channel->closed = true;
  channel->wake();
  const auto found = channels->find(id);
  if (found != channels->end() && found->second == channel) channels->erase(found);
}

std::unique_ptr<OutputSink> StreamTable::output(const asio::any_io_executor& executor,
                                                const std::string& id) {
  return std::make_unique<Sink>(channels_, id, claim(executor, id));
}

std::unique_ptr<InputSource> StreamTable::input(const asio::any_io_executor& executor,
                                                const std::string& id) {
  return std::make_unique<Source>(channels_, id, claim(executor, id));
}

StreamTable& stream_table() {
  // Never destroyed: its timers must not outlive the event loop's end in whatever order statics die.
  static auto* const table = new StreamTable;
  return *table;
}

}  // namespace kata::sandbox
