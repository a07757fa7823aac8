// Streams between client and server over socket pairs.
#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/socket_fixture.h"
#include "lib/ttrpc/stream_inbox.h"

namespace kata::ttrpc {
namespace {

// All messages until the end, then "end" or "CODE|message".
Awaitable<std::vector<std::string>> receive_all(std::shared_ptr<Stream> stream) {
  std::vector<std::string> messages;
  try {
    while (std::optional<std::string> message = co_await stream->receive())
      messages.push_back(std::move(*message));
    messages.emplace_back("end");
  } catch (const Error& error) {
    messages.push_back(code_name(error.code()) + "|" + error.message());
  }
  co_return messages;
}

class TtrpcStreamTest : public TtrpcSocketTest {
 protected:
  static std::shared_ptr<Stream> open(const std::shared_ptr<Client>& client, const char* method,
                                      StreamKind kind = StreamKind::kBidirectional,
                                      std::string request = {}) {
    return client->open_stream("test.Echo", method, kind, std::move(request), {});
  }
};

TEST_F(TtrpcStreamTest, MessagesBothWays) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    auto stream = open(client, "EchoStream");
    co_await stream->send("one");
    EXPECT_EQ(co_await stream->receive(), "one");
    co_await stream->send("");
    co_await stream->send(std::string(kMaxDataLength, 'x'));
    stream->close_send();
    EXPECT_EQ(co_await stream->receive(), "");
    EXPECT_EQ((co_await stream->receive())->size(), kMaxDataLength);
    EXPECT_EQ(co_await stream->receive(), std::nullopt);
    EXPECT_EQ(co_await stream->receive(), std::nullopt);
    EXPECT_EQ(co_await try_call(client, "Echo", "beside"), "beside");
  };
  run(body());
}

TEST_F(TtrpcStreamTest, EndsOfStreams) {
  using testing::ElementsAre;
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    EXPECT_THAT(co_await receive_all(open(client, "EchoStream", StreamKind::kServerStream, "only")),
                ElementsAre("only", "end"));
    auto failing = open(client, "EchoStream");
    co_await failing->send("a");
    co_await failing->send("fail");
    EXPECT_THAT(co_await receive_all(failing), ElementsAre("a", "ABORTED|as asked"));
    auto counted = open(client, "Count", StreamKind::kBidirectional, "first");
    co_await counted->send("second");
    counted->close_send();
    EXPECT_THAT(co_await receive_all(counted), ElementsAre("2", "end"));
    EXPECT_THAT(co_await receive_all(open(client, "Nothing")),
                ElementsAre("UNIMPLEMENTED|method test.Echo/Nothing is unknown"));
    EXPECT_THAT(co_await receive_all(open(client, "Echo", StreamKind::kBidirectional, "unary")),
                ElementsAre("unary", "end"));
    bool refused = false;
    try {
      co_await counted->send("late");
    } catch (const Error& error) {
      refused = error.code() == Code::kFailedPrecondition;
    }
    EXPECT_TRUE(refused);
  };
  run(body());
}

TEST_F(TtrpcStreamTest, UnreadMessagesAreBounded) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    auto deaf = open(client, "Deaf");
    for (size_t i = 0; i <= StreamInbox::kMaxMessages; ++i) co_await deaf->send("x");
    const auto received = co_await receive_all(deaf);
    EXPECT_THAT(received, testing::ElementsAre(testing::StartsWith("RESOURCE_EXHAUSTED|")));
    // The same towards a client that does not receive.
    auto echo = open(client, "EchoStream");
    for (size_t i = 0; i < 5; ++i) co_await echo->send(std::string(kMaxDataLength, 'x'));
    echo->close_send();
    EXPECT_EQ(co_await try_call(client, "Echo", "next"), "next");
    while (hanging_ > 0) co_await pause_for(1ms);
    co_await pause_for(20ms);
    const auto messages = co_await receive_all(echo);
    EXPECT_EQ(messages.size(), 5U);
    EXPECT_THAT(messages.back(), testing::StartsWith("RESOURCE_EXHAUSTED|"));
  };
  run(body());
}

TEST_F(TtrpcStreamTest, ClosedConnectionEndsStreamsOnBothSides) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    auto stream = open(client, "Deaf");
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    EXPECT_EQ(hanging_, 1);
    client->close();
    EXPECT_THAT(co_await receive_all(stream),
                testing::ElementsAre("UNAVAILABLE|connection to test is closed: it was closed here"));
  };
  run(body());
  EXPECT_EQ(hanging_, 0);
}

TEST_F(TtrpcStreamTest, DroppedStreamIsForgotten) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "test");
    auto stream = open(client, "EchoStream");
    co_await stream->send("nobody waits for this");
    stream.reset();
    EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
  };
  run(body());
}

}  // namespace
}  // namespace kata::ttrpc
