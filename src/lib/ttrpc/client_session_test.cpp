#include "lib/ttrpc/client_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using testing_frames::drain;
using testing_frames::frame;
using testing_frames::frames;
using testing_frames::hex;
using Kind = ClientSession::Kind;

const RequestHead kHead{"test.S", "M", {}, {}};

// Events as "3 answer xy", "3 NOT_FOUND", "3 message xy", "3 end".
std::vector<std::string> receive(ClientSession& session, std::string_view bytes) {
  std::vector<std::string> events;
  while (!bytes.empty()) {
    bytes.remove_prefix(session.input().feed(bytes));
    while (auto event = session.next()) {
      if (const auto* answer = std::get_if<ClientSession::Answer>(&*event)) {
        events.push_back(
            std::to_string(answer->stream) + " " +
            (answer->result ? "answer " + *answer->result : code_name(answer->result.error().code())));
      } else if (const auto* message = std::get_if<ClientSession::Message>(&*event)) {
        events.push_back(std::to_string(message->stream) + " message " + message->data);
      } else {
        events.push_back(std::to_string(std::get<ClientSession::End>(*event).stream) + " end");
      }
    }
  }
  return events;
}

std::string answer(std::string_view payload) {
  return "\x12" + std::string(1, static_cast<char>(payload.size())) + std::string(payload);
}

TEST(ClientSessionTest, RequestsOnTheWire) {
  ClientSession session;
  EXPECT_EQ(session.start(Kind::kUnary, kHead, "p"), 1U);
  EXPECT_EQ(session.start(Kind::kBidirectional, kHead, ""), 3U);
  EXPECT_EQ(session.start(Kind::kServerStream, kHead, "q"), 5U);
  EXPECT_TRUE(session.send(3, "m"));
  EXPECT_TRUE(session.send(3, ""));
  session.close_send(3);
  session.close_send(3);
  EXPECT_FALSE(session.send(3, "late"));
  EXPECT_FALSE(session.send(1, "unary"));
  EXPECT_FALSE(session.send(5, "server stream"));
  EXPECT_FALSE(session.send(99, "unknown"));
  using testing_frames::request;
  EXPECT_EQ(drain(session.output()), frame(1, 0, 1, request("M", "p")) + frame(1, 2, 3, request("M", "")) +
                                         frame(1, 1, 5, request("M", "q")) + frame(3, 0, 3, "m") +
                                         frame(3, 0, 3, "") + frame(3, 5, 3, ""));
}

TEST(ClientSessionTest, WhatServersMaySend) {
  struct Row {
    const char* name;
    std::string bytes;
    std::vector<std::string> events;
  };
  // Streams: 1 and 3 unary, 5 bidirectional, 7 server stream.
  const std::vector<Row> rows = {
      {"answers in another order",
       frame(2, 0, 3, answer("b")) + frame(2, 0, 1, answer("a")),
       {"3 answer b", "1 answer a"}},
      {"empty answer", frame(2, 0, 1, ""), {"1 answer "}},
      {"error", frame(2, 0, 1, hex("0a020805")), {"1 NOT_FOUND"}},
      {"answer that does not parse",
       frame(2, 0, 1, "\x12\x7f") + frame(2, 0, 3, answer("b")),
       {"1 DATA_LOSS", "3 answer b"}},
      {"answer twice", frame(2, 0, 1, answer("a")) + frame(2, 0, 1, answer("b")), {"1 answer a"}},
      {"answer of an unknown stream", frame(2, 0, 99, answer("a")), {}},
      {"answer of an even stream", frame(2, 0, 2, answer("a")), {}},
      {"answer of stream 0", frame(2, 0, 0, answer("a")), {}},
      {"data of an unknown stream", frame(3, 0, 99, "x"), {}},
      {"data for a unary call", frame(3, 0, 1, "x"), {"1 INTERNAL"}},
      {"unknown type for a call",
       frame(9, 0, 1, "x") + frame(2, 0, 3, answer("b")),
       {"1 INTERNAL", "3 answer b"}},
      {"request from the server", frame(1, 0, 1, "x"), {"1 INTERNAL"}},
      {"unknown type, unknown stream", frame(9, 0, 99, "x"), {}},
      {"oversize answer",
       frame(2, 0, 1, std::string(kMaxDataLength + 1, 'x')) + frame(2, 0, 3, answer("b")),
       {"1 RESOURCE_EXHAUSTED", "3 answer b"}},
      {"oversize for nobody",
       frame(2, 0, 99, std::string(kMaxDataLength + 1, 'x')) + frame(2, 0, 3, answer("b")),
       {"3 answer b"}},
      {"messages and end",
       frame(3, 0, 5, "x") + frame(3, 0, 5, "") + frame(3, 5, 5, ""),
       {"5 message x", "5 message ", "5 end"}},
      {"end with the last message",
       frame(3, 0, 7, "x") + frame(3, 1, 7, "y") + frame(3, 0, 7, "late"),
       {"7 message x", "7 message y", "7 end"}},
      {"no data and not closed", frame(3, 4, 7, "") + frame(3, 0, 7, "x"), {"7 message x"}},
      {"single result", frame(2, 0, 5, answer("r")) + frame(3, 0, 5, "late"), {"5 answer r"}},
      {"stream error", frame(3, 0, 7, "x") + frame(2, 0, 7, hex("0a020805")), {"7 message x", "7 NOT_FOUND"}},
      {"oversize message", frame(3, 0, 7, std::string(kMaxDataLength + 1, 'x')), {"7 RESOURCE_EXHAUSTED"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ClientSession session;
    for (const Kind kind : {Kind::kUnary, Kind::kUnary, Kind::kBidirectional, Kind::kServerStream})
      session.start(kind, kHead, "");
    drain(session.output());
    EXPECT_EQ(receive(session, row.bytes), row.events);
    EXPECT_TRUE(session.output().empty()) << "a client never answers a server's mistake";
  }
}

TEST(ClientSessionTest, ForgottenCallsAreSilent) {
  ClientSession session;
  session.start(Kind::kUnary, kHead, "sent");
  drain(session.output());
  session.start(Kind::kUnary, kHead, "unsent");
  session.start(Kind::kUnary, kHead, "kept");
  session.forget(1);
  session.forget(3);
  session.forget(3);
  session.forget(99);
  EXPECT_EQ(drain(session.output()), frame(1, 0, 5, testing_frames::request("M", "kept")))
      << "the unsent request is taken back, nothing tells of the sent one";
  EXPECT_THAT(receive(session, frame(2, 0, 1, answer("late")) + frame(2, 0, 5, answer("a"))),
              testing::ElementsAre("5 answer a"));
  EXPECT_EQ(session.active(), 0U);
}

TEST(ClientSessionTest, OversizeRequestLeavesNoTrace) {
  ClientSession session;
  const auto refused = session.start(Kind::kUnary, kHead, std::string(kMaxDataLength, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(session.output().empty());
  EXPECT_EQ(session.active(), 0U);
  EXPECT_EQ(session.start(Kind::kUnary, kHead, ""), 1U);
}

TEST(ClientSessionTest, StreamIdsEndBeforeTheyWrap) {
  ClientSession session;
  session.start_ids_at(0x7fffffff);
  EXPECT_EQ(session.start(Kind::kUnary, kHead, ""), 0x7fffffffU);
  const auto refused = session.start(Kind::kUnary, kHead, "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace kata::ttrpc
