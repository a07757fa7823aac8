// Streams between a client that speaks as containerd's CRI plugin does and the ends of a process.
#include "host/sandbox/streaming.h"

#include <functional>
#include <sys/socket.h>

#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/ttrpc/client.h"
#include "lib/ttrpc/server.h"

#include "containerd/streaming.pb.h"
#include "containerd/transfer.pb.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;
using Any = google::protobuf::Any;

template <typename Message>
std::string pack(const char* type, const Message& message) {
  Any any;
  any.set_type_url(type);
  any.set_value(message.SerializeAsString());
  return any.SerializeAsString();
}

std::string init_of(const std::string& id) {
  containerd::services::streaming::v1::StreamInit init;
  init.set_id(id);
  return pack("containerd.services.streaming.v1.StreamInit", init);
}

std::string window_of(int32_t size) {
  containerd::types::transfer::WindowUpdate update;
  update.set_update(size);
  return pack("containerd.types.transfer.WindowUpdate", update);
}

std::string data_of(const std::string& bytes) {
  containerd::types::transfer::Data data;
  data.set_data(bytes);
  return pack("containerd.types.transfer.Data", data);
}

class StreamingTest : public testing::Test {
 protected:
  StreamingTest() : server_(ttrpc::Server::create()) {
    server_->add_stream(kStreamingService, kStreamingMethod, ttrpc::StreamResult::kMessages,
                        [this](std::shared_ptr<ttrpc::Stream> stream, ttrpc::RequestInfo) {
                          return table_.serve(std::move(stream));
                        });
    client_ = connect();
  }
  void TearDown() override {
    client_->close();
    server_->stop();
    client_.reset();
    context_.restart();
    context_.run();
  }

  std::shared_ptr<ttrpc::Client> connect() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const auto adopt = [&](int fd) {
      return StreamSocket(context_, asio::generic::stream_protocol(AF_UNIX, 0), fd);
    };
    asio::co_spawn(context_, server_->serve(adopt(fds[0]), ttrpc::Server::PeerCheck::kNone), asio::detached);
    return ttrpc::Client::create(adopt(fds[1]), "shim");
  }
  // Opens a stream and takes the acknowledgement.
  std::shared_ptr<ttrpc::Stream> open(const std::shared_ptr<ttrpc::Client>& client, const std::string& id) {
    auto stream = client->open_stream(kStreamingService, kStreamingMethod, ttrpc::StreamKind::kBidirectional,
                                      init_of(id), {});
    EXPECT_TRUE(run(stream->receive()).has_value());
    return stream;
  }
  Any next(const std::shared_ptr<ttrpc::Stream>& stream) {
    Any any;
    const auto message = run(stream->receive());
    EXPECT_TRUE(message && any.ParseFromString(*message));
    return any;
  }
  std::string next_data(const std::shared_ptr<ttrpc::Stream>& stream) {
    containerd::types::transfer::Data data;
    EXPECT_TRUE(data.ParseFromString(next(stream).value()));
    return data.data();
  }
  int32_t next_window(const std::shared_ptr<ttrpc::Stream>& stream) {
    containerd::types::transfer::WindowUpdate update;
    EXPECT_TRUE(update.ParseFromString(next(stream).value()));
    return update.update();
  }

  template <typename T>
  T run(Awaitable<T> task) {
    return finish(start(std::move(task)));
  }
  template <typename T>
  std::future<T> start(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 10s, "test"), asio::use_future);
    settle();
    return future;
  }
  template <typename T>
  T finish(std::future<T> future) {
    context_.restart();
    while (!ready(future) && context_.run_one() > 0) {
    }
    return future.get();
  }
  template <typename T>
  static bool ready(const std::future<T>& future) {
    return future.wait_for(0s) == std::future_status::ready;
  }
  void settle() {
    for (int i = 0; i < 50; ++i) {
      context_.restart();
      context_.poll();
    }
  }
  Code code_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kOk;
  }

  asio::io_context context_;
  StreamTable table_;
  std::shared_ptr<ttrpc::Server> server_;
  std::shared_ptr<ttrpc::Client> client_;
};

TEST(StreamingId, IsTheQuerysValue) {
  EXPECT_EQ(streaming_id("ttrpc+unix:///run/x.sock?streaming_id=c1-stdout"), "c1-stdout");
  EXPECT_EQ(streaming_id("ttrpc+unix:///run/x.sock?a=b&streaming_id=c1-stdin&c"), "c1-stdin");
  EXPECT_EQ(streaming_id("/run/fifo"), std::nullopt);
  EXPECT_EQ(streaming_id("grpc+unix:///run/x.sock?streaming_id=c1"), std::nullopt);
  for (const char* bad : {"ttrpc+unix:///run/x.sock", "ttrpc+unix:///x?streaming_id=", "ttrpc+unix:///x?&&"})
    EXPECT_THROW(streaming_id(bad), Error) << bad;
}

TEST_F(StreamingTest, OutputFollowsTheWindow) {
  const auto peer = open(client_, "c1-stdout");
  auto sink = table_.output(context_.get_executor(), "c1-stdout");
  const std::string data(100'000, 'x');
  auto written = start(sink->write_some(data));
  EXPECT_FALSE(ready(written)) << "nothing may be sent without a window";
  run(peer->send(window_of(65536)));
  EXPECT_EQ(finish(std::move(written)), 32768U);
  EXPECT_EQ(next_data(peer).size(), 32768U);
  EXPECT_EQ(run(sink->write_some(data)), 32768U);
  EXPECT_EQ(next_data(peer).size(), 32768U);
  written = start(sink->write_some("last"));
  EXPECT_FALSE(ready(written));
  run(peer->send(window_of(1)));
  EXPECT_EQ(finish(std::move(written)), 1U);
  EXPECT_EQ(next_data(peer), "l");
  sink.reset();
  EXPECT_EQ(run(peer->receive()), std::nullopt) << "the end of the process ends the stream";
}

TEST_F(StreamingTest, OutputWaitsForARestartedContainerd) {
  auto sink = table_.output(context_.get_executor(), "c1-stdout");
  auto written = start(sink->write_some("before anybody came"));
  EXPECT_FALSE(ready(written));
  const auto first = open(client_, "c1-stdout");
  run(first->send(window_of(65536)));
  EXPECT_EQ(finish(std::move(written)), 19U);
  EXPECT_EQ(next_data(first), "before anybody came");
  client_->close();
  settle();
  written = start(sink->write_some("while it was gone"));
  EXPECT_FALSE(ready(written));
  client_ = connect();
  const auto second = open(client_, "c1-stdout");
  run(second->send(window_of(65536)));
  EXPECT_EQ(finish(std::move(written)), 17U);
  EXPECT_EQ(next_data(second), "while it was gone");
  // A connection that still stands gives way to a newer one.
  const auto third = open(client_, "c1-stdout");
  run(third->send(window_of(65536)));
  EXPECT_EQ(run(sink->write_some("x")), 1U);
  EXPECT_EQ(next_data(third), "x");
  EXPECT_EQ(run(second->receive()), std::nullopt);
}

TEST_F(StreamingTest, InputIsGrantedReadAndEnded) {
  const auto peer = open(client_, "c1-stdin");
  const auto source = table_.input(context_.get_executor(), "c1-stdin");
  auto read = start(source->read(10));
  EXPECT_EQ(next_window(peer), 65536);
  run(peer->send(data_of("hello world")));
  EXPECT_EQ(finish(std::move(read)), "hello worl");
  EXPECT_FALSE(source->drained());
  EXPECT_EQ(run(source->read(10)), "d");
  EXPECT_TRUE(source->drained());
  run(peer->send(data_of(std::string(40'000, 'a'))));
  settle();
  read = start(source->read(65536));
  EXPECT_EQ(finish(std::move(read)).size(), 40'000U);
  read = start(source->read(65536));
  EXPECT_EQ(next_window(peer), 40'011);
  run(peer->send(data_of("rest")));
  peer->close_send();
  EXPECT_EQ(finish(std::move(read)), "rest");
  EXPECT_EQ(run(source->read(65536)), "");
}

TEST_F(StreamingTest, InputOutlivesALostConnection) {
  const auto source = table_.input(context_.get_executor(), "c1-stdin");
  auto read = start(source->read(65536));
  const auto first = open(client_, "c1-stdin");
  EXPECT_EQ(next_window(first), 65536);
  client_->close();
  settle();
  EXPECT_FALSE(ready(read)) << "a lost connection is no end of the input";
  client_ = connect();
  const auto second = open(client_, "c1-stdin");
  EXPECT_EQ(next_window(second), 65536);
  run(second->send(data_of("back")));
  EXPECT_EQ(finish(std::move(read)), "back");
}

TEST_F(StreamingTest, BadPeersAreRefused) {
  struct Row {
    const char* name;
    std::string first;
  };
  const Row rows[] = {{"garbage", "\xff\xff"}, {"data first", data_of("x")}, {"no name", init_of("")}};
  for (const Row& row : rows) {
    const auto stream = client_->open_stream(kStreamingService, kStreamingMethod,
                                             ttrpc::StreamKind::kBidirectional, row.first, {});
    EXPECT_EQ(code_of([&] { run(stream->receive()); }), Code::kInvalidArgument) << row.name;
  }
  const auto peer = open(client_, "c1-stdin");
  run(peer->send(data_of("not allowed yet")));
  EXPECT_EQ(code_of([&] { run(peer->receive()); }), Code::kResourceExhausted);
  const auto sink = table_.output(context_.get_executor(), "c1-stdout");
  EXPECT_EQ(code_of([&] { table_.output(context_.get_executor(), "c1-stdout"); }), Code::kAlreadyExists);
}

}  // namespace
}  // namespace kata::sandbox
