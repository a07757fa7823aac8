// What a server and a client do about peers that break the protocol or stop in the middle.
#include "lib/ttrpc/envelope.h"
#include "lib/ttrpc/socket_fixture.h"
#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using testing_frames::frame;

std::string echo_request(std::string_view payload) {
  std::string bytes =
      "\x0a\x09test.Echo\x12\x04"
      "Echo\x1a";
  bytes += static_cast<char>(payload.size());
  return bytes += payload;
}

class TtrpcBadPeerTest : public TtrpcSocketTest {
 protected:
  static Awaitable<> write(StreamSocket& socket, std::string bytes) {
    co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
  }
  static Awaitable<Frame> read_frame(StreamSocket& socket) {
    std::array<char, kHeaderSize> header;
    co_await asio::async_read(socket, asio::buffer(header), asio::use_awaitable);
    Frame frame;
    frame.header = decode_header(header);
    frame.data.resize(frame.header.length);
    co_await asio::async_read(socket, asio::buffer(frame.data), asio::use_awaitable);
    co_return frame;
  }
  static Awaitable<bool> at_eof(StreamSocket& socket) {
    boost::system::error_code error;
    std::array<char, 4096> bytes;
    while (!error)
      co_await socket.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    co_return error == asio::error::eof || error == asio::error::connection_reset;
  }
  // The two ends of a connection without a server of ours.
  std::pair<StreamSocket, StreamSocket> pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const asio::generic::stream_protocol protocol(AF_UNIX, 0);
    return {StreamSocket(context_, protocol, fds[0]), StreamSocket(context_, protocol, fds[1])};
  }
};

TEST_F(TtrpcBadPeerTest, ServerAnswersAndGoesOn) {
  struct Row {
    const char* name;
    std::string bytes;
    // Status of the answer on this stream, none = no answer.
    std::optional<Code> code;
  };
  const std::vector<Row> rows = {
      {"oversize", frame(1, 0, 1, std::string(kMaxDataLength + 1, 'x')), Code::kResourceExhausted},
      {"much oversize", frame(1, 0, 1, std::string(3 * kMaxDataLength, 'x')), Code::kResourceExhausted},
      {"broken envelope", frame(1, 0, 1, "\xff\xff"), Code::kInvalidArgument},
      {"even id", frame(1, 0, 2, echo_request("x")), Code::kInvalidArgument},
      {"data out of nowhere", frame(3, 0, 1, "x"), Code::kInvalidArgument},
      {"unknown type", frame(0x7f, 0, 1, "x"), std::nullopt},
  };
  auto body = [&]() -> Awaitable<> {
    StreamSocket socket = serve();
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      co_await write(socket, row.bytes + frame(1, 0, 101, echo_request("after")));
      if (row.code) {
        Frame answer = co_await read_frame(socket);
        const auto result = decode_response(std::move(answer.data));
        EXPECT_TRUE(!result && result.error().code() == *row.code);
      }
      const Frame answer = co_await read_frame(socket);
      EXPECT_EQ(answer.header.stream, 101U);
      EXPECT_EQ(answer.data,
                "\x12\x05"
                "after");
    }
  };
  run(body());
}

TEST_F(TtrpcBadPeerTest, ServerSurvivesEndsInTheMiddle) {
  const std::string whole = frame(1, 0, 1, echo_request("x"));
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    auto body = [&]() -> Awaitable<> {
      StreamSocket socket = serve();
      co_await write(socket, whole.substr(0, cut));
      socket.shutdown(StreamSocket::shutdown_send);
      EXPECT_TRUE(co_await at_eof(socket)) << cut;
    };
    run(body());
    EXPECT_EQ(server_->connections(), 0U);
  }
}

TEST_F(TtrpcBadPeerTest, AnswersThatAreCompleteSurviveAHalfClose) {
  auto body = [&]() -> Awaitable<> {
    StreamSocket socket = serve();
    co_await write(socket, frame(1, 0, 1, echo_request("x")) + frame(1, 0, 2, ""));
    socket.shutdown(StreamSocket::shutdown_send);
    EXPECT_EQ((co_await read_frame(socket)).header.stream, 2U);
  };
  run(body());
}

TEST_F(TtrpcBadPeerTest, GarbageEndsNothingElse) {
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(serve(), "healthy");
    uint32_t state = 12345;
    for (int round = 0; round < 50; ++round) {
      StreamSocket socket = serve();
      std::string garbage;
      for (int i = 0; i < 3000; ++i)
        garbage += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
      co_await write(socket, std::move(garbage));
      socket.close();
      EXPECT_EQ(co_await try_call(client, "Echo", "x"), "x");
    }
  };
  run(body());
  EXPECT_EQ(server_->connections(), 0U);
}

// A peer that sends requests and never reads answers is not read from any more, instead of filling the
// memory.
TEST_F(TtrpcBadPeerTest, PeerThatNeverReadsIsHeldBack) {
  auto body = [&]() -> Awaitable<> {
    StreamSocket socket = serve();
    std::string requests;
    // Each asks for a megabyte.
    const std::string large =
        "\x0a\x09test.Echo\x12\x05Large\x1a\x07"
        "1000000";
    for (uint32_t i = 0; i < 64; ++i) requests += frame(1, 0, 2 * i + 1, large);
    co_await write(socket, requests);
    const std::string filler = frame(9, 0, 1, std::string(65536, 'f'));
    bool stuck = false;
    for (int i = 0; i < 100 && !stuck; ++i) {
      try {
        co_await with_deadline(write(socket, filler), 200ms, "writing");
      } catch (const Error&) {
        stuck = true;
      }
    }
    EXPECT_TRUE(stuck);
    for (int i = 0; i < 64; ++i) EXPECT_EQ((co_await read_frame(socket)).header.length, 1000004U);
  };
  run(body());
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(TtrpcBadPeerTest, ClientNamesHowTheServerWentAway) {
  struct Row {
    const char* name;
    std::string bytes;
    const char* outcome;
  };
  const std::vector<Row> rows = {
      {"closed", "", "UNAVAILABLE|connection to agent is closed: the peer closed it"},
      {"half a header", std::string("\0\0\0", 3),
       "UNAVAILABLE|connection to agent is closed: the peer closed it in the middle of a message"},
      {"half an answer", frame(2, 0, 1, "x", 100),
       "UNAVAILABLE|connection to agent is closed: the peer closed it in the middle of a message"},
      {"half an oversize answer", frame(2, 0, 1, "x", 0xffffffff),
       "UNAVAILABLE|connection to agent is closed: the peer closed it in the middle of a message"},
      {"answers for others", frame(2, 0, 77, "") + frame(3, 0, 5, "x") + frame(1, 0, 4, ""),
       "UNAVAILABLE|connection to agent is closed: the peer closed it"},
      {"broken answer", frame(2, 0, 1, "\xff"), "DATA_LOSS|response envelope does not parse"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    auto ends = pair();
    auto peer = [&]() -> Awaitable<> {
      co_await read_frame(ends.second);
      co_await write(ends.second, row.bytes);
      ends.second.close();
    };
    auto body = [&]() -> Awaitable<> {
      auto client = Client::create(std::move(ends.first), "agent");
      group_.spawn("peer", peer());
      EXPECT_EQ(co_await try_call(client, "Echo", "x"), row.outcome);
      co_await group_.join();
    };
    run(body());
  }
}

// A call whose request the server never takes ends at its time-out, and so do those queued behind it.
TEST_F(TtrpcBadPeerTest, ClientGivesUpOnAServerThatNeverReads) {
  auto ends = pair();
  auto body = [&]() -> Awaitable<> {
    auto client = Client::create(std::move(ends.first), "agent");
    const std::string large(2'000'000, 'x');
    for (int i = 0; i < 3; ++i) {
      EXPECT_THAT(co_await try_call(client, "Echo", large, CallOptions{10ms, {}}),
                  testing::StartsWith("DEADLINE_EXCEEDED|"));
    }
  };
  run(body());
}

}  // namespace
}  // namespace kata::ttrpc
