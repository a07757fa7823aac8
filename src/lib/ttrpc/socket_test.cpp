// Unary calls between client and server over socket pairs.
#include <boost/asio/detached.hpp>

#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/socket_fixture.h"

namespace kata::ttrpc {
namespace {

TEST_F(TtrpcSocketTest, CallsAnswersAndErrors) {
  struct Row {
    const char* name;
    std::string method;
    std::string payload;
    std::string answer;
  };
  const std::vector<Row> rows = {
      {"answer", "Echo", "hello", "hello"},
      {"empty answer", "Echo", "", ""},
      {"64 KiB", "Echo", std::string(65536, 'k'), std::string(65536, 'k')},
      {"error with code", "Fail", "container c1 not found", "NOT_FOUND|container c1 not found"},
      {"other exception", "Fail", "runtime", "INTERNAL|broken"},
      {"unknown method", "Nothing", "", "UNIMPLEMENTED|method test.Echo/Nothing is unknown"},
      {"unary call of a stream", "Count", "x", "1"},
      {"oversize answer", "Large", "4194305",
       "RESOURCE_EXHAUSTED|response of 4194310 bytes exceeds the message limit of 4194304 bytes"},
      {"the connection is usable after all this", "Echo", "bye", "bye"},
  };
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      EXPECT_EQ(co_await try_call(client, row.method, row.payload), row.answer);
    }
  };
  run(body());
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(TtrpcSocketTest, TwoHundredConcurrentCallsBesideLongPolls) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    TaskGroup calls(context_.get_executor(), nullptr);
    TaskGroup polls(context_.get_executor(), nullptr);
    auto poll = [&]() -> Awaitable<> { co_await try_call(client, "Hang", ""); };
    for (int i = 0; i < 50; ++i) polls.spawn("poll", poll());
    int right = 0;
    auto one = [&](int number) -> Awaitable<> {
      const std::string payload(static_cast<size_t>(number) * 1000, static_cast<char>('a' + number % 26));
      if (co_await try_call(client, "Echo", payload) == payload) ++right;
    };
    for (int i = 0; i < 200; ++i) calls.spawn("call", one(i));
    co_await calls.join();
    EXPECT_EQ(right, 200);
    EXPECT_EQ(hanging_, 50);
    client->close();
    co_await polls.join();
  };
  run(body());
  EXPECT_EQ(hanging_, 0) << "handlers are cancelled when the connection ends";
}

TEST_F(TtrpcSocketTest, LargestMessagesBothWays) {
  // Envelope of the request: service 11, method 6, payload tag and length 5 bytes; of the response: 5.
  const std::string largest(kMaxDataLength - 22, 'q');
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    EXPECT_EQ(co_await try_call(client, "Echo", largest), largest);
    const std::string refused = co_await try_call(client, "Echo", largest + "q");
    EXPECT_THAT(refused, testing::StartsWith("RESOURCE_EXHAUSTED|request Echo of 4194305 bytes exceeds"));
    EXPECT_EQ((co_await try_call(client, "Large", "4194299")).size(), 4194299U);
    EXPECT_EQ(co_await try_call(client, "Echo", "small"), "small");
  };
  run(body());
}

TEST_F(TtrpcSocketTest, TimeoutsOnBothSides) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "agent of sandbox s1");
    const std::string late = co_await try_call(client, "Hang", "", CallOptions{20ms, {}});
    EXPECT_THAT(late, testing::StartsWith("DEADLINE_EXCEEDED|Hang"));
    EXPECT_THAT(late, testing::HasSubstr("not done within 20 ms"));
    EXPECT_EQ(co_await try_call(client, "Hang", "", CallOptions{-1ms, {}}),
              "DEADLINE_EXCEEDED|Hang of agent of sandbox s1: not done within 0 ms");
    EXPECT_EQ(co_await try_call(client, "Echo", "next", CallOptions{10s, {}}), "next");
    while (hanging_ > 0) co_await pause_for(1ms);  // The server's deadline is as long, and began later.
    CallOptions options{2500ms, {{"Containerd-Namespace-TTRPC", "k8s.io"}, {"a", "1"}, {"a", "2"}}};
    EXPECT_EQ(co_await try_call(client, "Info", "", std::move(options)),
              "2500000000 containerd-namespace-ttrpc=k8s.io a=1 a=2");
  };
  run(body());
}

TEST_F(TtrpcSocketTest, CancelledCallIsForgotten) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    TaskGroup group(context_.get_executor(), nullptr);
    auto call = [&]() -> Awaitable<> { co_await client->call("test.Echo", "Large", "1000000", {}); };
    group.spawn("call", call());
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    group.spawn("call", call());
    group.cancel();
    co_await group.join();
    EXPECT_EQ(co_await try_call(client, "Echo", "y"), "y") << "the late answer is dropped";
  };
  run(body());
}

TEST_F(TtrpcSocketTest, CloseFailsPendingAndLaterCalls) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "agent of sandbox s1");
    TaskGroup group(context_.get_executor(), nullptr);
    std::string outcome;
    auto call = [&]() -> Awaitable<> { outcome = co_await try_call(client, "Hang", ""); };
    group.spawn("call", call());
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    EXPECT_TRUE(client->is_open());
    server_->stop();
    co_await client->closed();
    co_await group.join();
    // The server cancels its handlers first, and tells.
    EXPECT_EQ(outcome, "CANCELLED|the call was cancelled");
    EXPECT_FALSE(client->is_open());
    EXPECT_EQ(co_await try_call(client, "Echo", "x"),
              "UNAVAILABLE|connection to agent of sandbox s1 is closed: the peer closed it");
    client->close();
    co_await client->closed();
    auto second = Client::create(serve(), "stopped server");
    EXPECT_THAT(co_await try_call(second, "Echo", "x"), testing::StartsWith("UNAVAILABLE|"));
  };
  run(body());
}

TEST_F(TtrpcSocketTest, AnswerOfTheCallThatStopsTheServerArrives) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    EXPECT_EQ(co_await try_call(client, "Stop", ""), "stopped");
    co_await client->closed();
  };
  run(body());
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(TtrpcSocketTest, LastHandleGoneClosesTheConnection) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    EXPECT_EQ(server_->connections(), 1U);
    auto pending = try_call(std::exchange(client, nullptr), "Echo", "kept alive by its call");
    EXPECT_EQ(co_await std::move(pending), "kept alive by its call");
  };
  run(body());
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(TtrpcSocketTest, PeerCheckAcceptsTheSameUser) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(Server::PeerCheck::kSameUser), "test");
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
  };
  run(body());
}

TEST_F(TtrpcSocketTest, PeerCheckRefusesAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to change the effective user";
  StreamSocket socket = serve(Server::PeerCheck::kSameUser);
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(std::move(socket), "test");
    EXPECT_THAT(co_await try_call(client, "Echo", "x"), testing::StartsWith("UNAVAILABLE|"));
  };
  // The pair was made as root; the server compares with who it is now.
  ASSERT_EQ(::setegid(65534), 0);
  run(body());
  ASSERT_EQ(::setegid(0), 0);
}

TEST_F(TtrpcSocketTest, CancelledServeEndsItsHandlersAndCloses) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    TaskGroup calls(context_.get_executor(), nullptr);
    auto call = [&]() -> Awaitable<> { co_await try_call(client, "Hang", ""); };
    calls.spawn("call", call());
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    EXPECT_EQ(hanging_, 1);
    group_.cancel();
    co_await client->closed();
    co_await group_.join();
    co_await calls.join();
  };
  run(body());
  EXPECT_EQ(hanging_, 0);
  EXPECT_EQ(server_->connections(), 0U);
}

// A loop that is destroyed in the middle of everything: nothing may be touched after its end.
TEST(TtrpcLifetimeTest, LoopDestroyedWithCallsAndStreamsPending) {
  auto context = std::make_unique<asio::io_context>();
  auto server = Server::create();
  server->add("s", "Hang", [](std::string, RequestInfo) -> Awaitable<std::string> {
    co_await pause_for(std::chrono::hours(1));
    co_return "";
  });
  server->add_stream(
      "s", "Stream", StreamResult::kMessages,
      [](std::shared_ptr<Stream> stream, RequestInfo) -> Awaitable<> { co_await stream->receive(); });
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const asio::generic::stream_protocol protocol(AF_UNIX, 0);
  asio::co_spawn(*context, server->serve(StreamSocket(*context, protocol, fds[0]), Server::PeerCheck::kNone),
                 asio::detached);
  auto client = Client::create(StreamSocket(*context, protocol, fds[1]), "test");
  for (int i = 0; i < 3; ++i) {
    CallOptions options{std::chrono::hours(1), {}};
    asio::co_spawn(*context, client->call("s", "Hang", "x", std::move(options)), asio::detached);
  }
  auto stream = client->open_stream("s", "Stream", StreamKind::kBidirectional, "", {});
  asio::co_spawn(*context, stream->receive(), asio::detached);
  context->poll();
  EXPECT_EQ(server->connections(), 1U);
  stream.reset();
  client.reset();
  context.reset();
}

TEST_F(TtrpcSocketTest, AMethodIsServedOnce) {
  const auto again = [&] { server_->add("test.Echo", "Echo", nullptr); };
  EXPECT_THROW(again(), Error);
}

}  // namespace
}  // namespace kata::ttrpc
